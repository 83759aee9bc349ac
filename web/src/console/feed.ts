/**
 * Keeps the store true: follows the event stream, and reads all unresolved incidents after each connection.
 *
 * The stream is opened before the list is read, so no change falls between the two. While the stream is down the list is read
 * every few seconds instead, as long as the server answers at all.
 */
import * as api from "../shared/api";
import type { Gap, Incident, IncidentChange, IncidentState } from "../shared/api";
import { EventStream, type ServerEvent, type StreamState } from "../shared/events";
import { Problem } from "../shared/problem";
import { isUntold, isWaiting } from "./arrange";
import type { ServerClock } from "./clock";
import { missed, type Missed } from "./missed";
import type { Store } from "./store";

/** In this order an incident that moves on while the lists are read is found in at least one of them. */
const UNRESOLVED: IncidentState[] = ["open", "notified", "acknowledged"];
const PAGE = 1_000;
/** Pause between two readings of the list while the stream is down. */
const REREAD_MS = 5_000;
/** Most emergencies that nobody has been told of for which the list is read again. */
const UNTOLD_MAX = 50;
/** Most incidents that are asked for one by one, after they had left the list unseen. */
const VANISHED_MAX = 50;

export interface FeedHandlers {
  /** Incidents that were not known; `first` where the page has only just been opened. */
  added: (incidents: Incident[], first: boolean) => void;
  changed: (change: IncidentChange) => void;
  stream: (state: StreamState) => void;
  /** The server answers. */
  inContact: () => boolean;
  /** The server has somebody to tell. */
  hasTargets: () => boolean;
  /** Contact is back and the list is read: what happened in between. */
  caughtUp: (missed: Missed, awayMs: number) => void;
}

export class Feed {
  private readonly stream: EventStream;
  private loaded = false;
  /** The last reading of the list came to its end. */
  private current = false;
  private reading = false;
  private again = false;
  private readAt = 0;
  private streaming = false;
  /** Incidents of which news came while the list was being read, which is then older. */
  private readonly touched = new Set<string>();
  /** What was known when contact was lost, and since when. */
  private away: { before: Incident[]; since: number } | null = null;

  constructor(
    private readonly store: Store,
    private readonly clock: ServerClock,
    private readonly handlers: FeedHandlers,
  ) {
    this.stream = new EventStream(api.INCIDENT_EVENTS, {
      event: (event) => this.event(event),
      state: (state) => this.streamState(state),
    });
  }

  start(): void {
    this.stream.start();
    void this.read();
  }

  /** Once a second. */
  tick(): void {
    const due = !this.current || !this.streaming || this.away !== null || this.waitsForTargets();
    if (this.handlers.inContact() && due && performance.now() - this.readAt >= REREAD_MS) void this.read();
  }

  /** No event tells of tries that fail, and a row must not say for long that a target is being called, or that there is none. */
  private waitsForTargets(): boolean {
    if (!this.handlers.hasTargets()) return false;
    const untold = this.store.all().filter((one) => isWaiting(one) && isUntold(one)).length;
    return untold > 0 && untold <= UNTOLD_MAX;
  }

  /** The line is said to be back: no need to wait for the next try. */
  hurry(): void {
    this.stream.hurry();
  }

  /** The server answers again after it had not: the stream may be dead without a word. */
  renew(): void {
    this.stream.renew();
  }

  /** Contact was lost: what is known now is what the person has seen. */
  lost(since: number): void {
    if (this.loaded) this.away ??= { before: this.store.all(), since };
  }

  private streamState(state: StreamState): void {
    this.streaming = state.kind === "connected";
    if (state.kind === "lost") this.lost(state.since);
    this.handlers.stream(state);
    if (state.kind === "connected") void this.read();
  }

  private event(event: ServerEvent): void {
    if (event.event === "gap") {
      const gap = JSON.parse(event.data) as Gap;
      console.info(`events are missing (${gap.reason}); the list is read again`);
      void this.read();
      return;
    }
    if (event.event !== "incident") return;
    const change = JSON.parse(event.data) as IncidentChange;
    if (this.reading) this.touched.add(change.incident.id);
    const isNew = this.store.put(change.incident);
    if (isNew) this.handlers.added([change.incident], false);
    this.handlers.changed(change);
  }

  /** Reads the list; a call while one is under way makes it start again when it is through. */
  private async read(): Promise<void> {
    if (this.reading) {
      this.again = true;
      return;
    }
    this.reading = true;
    try {
      do {
        this.again = false;
        this.readAt = performance.now();
        this.touched.clear();
        await this.take(await this.unresolved());
      } while (this.again);
      this.current = true;
    } catch (error) {
      this.current = false;
      // The next tick tries again; that the server is away is told by the question for contact.
      console.info("the list of incidents could not be read", error);
    } finally {
      this.reading = false;
    }
  }

  private async unresolved(): Promise<Incident[]> {
    const found = new Map<string, Incident>();
    for (const state of UNRESOLVED) {
      let after: string | null = null;
      do {
        const sentAt = Date.now();
        const filter: api.IncidentFilter = { state, limit: PAGE, ...(after === null ? {} : { after }) };
        const page = await api.incidents(filter);
        this.clock.sync(page.time, sentAt, Date.now());
        for (const one of page.incidents) found.set(one.id, one);
        after = page.next;
      } while (after !== null);
    }
    return [...found.values()];
  }

  private async take(unresolved: Incident[]): Promise<void> {
    const first = !this.loaded;
    const { added, vanished } = this.store.replace(unresolved, this.touched);
    this.loaded = true;
    if (added.length > 0) this.handlers.added(added, first);
    await this.ends(vanished);
    // The stream may be back before the first answer that proves contact: until then nobody is told, since the stream is made anew
    // with that answer, and would be told as a loss of its own.
    if (this.away && this.streaming && this.handlers.inContact()) this.back();
  }

  /**
   * Finds out how incidents ended that are no longer in the list. One of which nothing is known stays, and the list is read again. In a
   * cluster another one may have taken it in, and is the answer.
   */
  private async ends(vanished: string[]): Promise<void> {
    for (const [place, id] of vanished.entries()) {
      const one = place < VANISHED_MAX ? await api.incident(id).catch(ifUnknown) : null;
      if (this.touched.has(id)) continue;
      if (one) this.store.put(one);
      if (one?.id !== id) this.store.remove(id);
    }
  }

  private back(): void {
    const { away } = this;
    this.away = null;
    if (away) this.handlers.caughtUp(missed(away.before, this.store.all()), Date.now() - away.since);
  }
}

/** An incident that the server does not know any more is none; any other refusal says nothing about it. */
function ifUnknown(error: unknown): null {
  if (error instanceof Problem && error.status === 404) return null;
  throw error;
}
