/**
 * Open incidents, real ones and drills, as the server tells them: the stream first, then the list, so that nothing falls between.
 */
import { incidents, INCIDENT_EVENTS, type Incident, type IncidentChange } from "../shared/api";
import { EventStream, type ServerEvent, type StreamState } from "../shared/events";
import type { Missed } from "./missed";

export interface CallsHandlers {
  changed(): void;
  /** A call or a drill that was not there before; not for those found when the page was opened. */
  raised(incident: Incident): void;
  resolved(incident: Incident): void;
  contact(state: StreamState): void;
  /** The principal may not see calls. */
  refused(): void;
}

const PAGE = 1_000;
/** Open incidents that are read at most. */
const PAGES_MAX = 20;
const AGAIN_MS = 2_000;

export class Calls {
  private readonly open = new Map<string, Incident>();
  private readonly told = new Set<string>();
  private readonly stream: EventStream;
  private read = false;
  private missed: Missed | null = null;
  private reading = 0;

  constructor(private readonly handlers: CallsHandlers) {
    this.stream = new EventStream(INCIDENT_EVENTS, { event: (event) => this.event(event), state: (state) => this.state(state) });
  }

  start(): void {
    this.stream.start();
  }

  hurry(): void {
    this.stream.hurry();
  }

  /** Open incidents: real ones before drills, the latest first. */
  list(): Incident[] {
    return [...this.open.values()].sort(
      (one, other) => Number(one.test) - Number(other.test) || Date.parse(other.raised_at) - Date.parse(one.raised_at),
    );
  }

  /** Begins to note what happens, as contact was lost. */
  noteMissed(): void {
    this.missed ??= { calls: [], drills: [], resolved: 0 };
  }

  /** What was noted since contact was lost. */
  takeMissed(): Missed {
    const missed = this.missed ?? { calls: [], drills: [], resolved: 0 };
    this.missed = null;
    return missed;
  }

  private state(state: StreamState): void {
    if (state.kind === "connected") void this.reload();
    if (state.kind === "refused") {
      this.stream.stop();
      this.handlers.refused();
    }
    this.handlers.contact(state);
  }

  private event(event: ServerEvent): void {
    if (event.event === "gap") void this.reload();
    if (event.event !== "incident") return;
    const { incident } = JSON.parse(event.data) as IncidentChange;
    this.told.add(incident.id);
    this.take(incident);
    this.handlers.changed();
  }

  private take(incident: Incident): void {
    const known = this.open.get(incident.id);
    if (known && Date.parse(known.updated_at) > Date.parse(incident.updated_at)) return;
    if (incident.state === "resolved") {
      if (known) this.close(incident);
      return;
    }
    this.open.set(incident.id, incident);
    if (known || !this.read) return;
    if (this.missed) (incident.test ? this.missed.drills : this.missed.calls).push(incident.vehicle_id);
    this.handlers.raised(incident);
  }

  private close(incident: Incident): void {
    this.open.delete(incident.id);
    if (this.missed) this.missed.resolved += 1;
    this.handlers.resolved(incident);
  }

  /** Reads the list anew; an older reading that is still under way counts no more. */
  private async reload(): Promise<void> {
    const turn = (this.reading += 1);
    this.told.clear();
    try {
      const found = await readAll();
      if (turn !== this.reading) return;
      for (const incident of found) this.take(incident);
      const still = new Set(found.map((one) => one.id));
      for (const old of this.open.values()) {
        // What the stream told meanwhile is newer than the list.
        if (!still.has(old.id) && !this.told.has(old.id)) this.close({ ...old, state: "resolved" });
      }
      this.read = true;
      this.handlers.changed();
    } catch {
      // The contact says what is wrong; here it is tried again.
      setTimeout(() => turn === this.reading && void this.reload(), AGAIN_MS);
    }
  }
}

async function readAll(): Promise<Incident[]> {
  const found: Incident[] = [];
  for (const state of ["open", "notified", "acknowledged"] as const) {
    let after: string | undefined;
    for (let page = 0; page < PAGES_MAX; page += 1) {
      const answer = await incidents({ state, limit: PAGE, ...(after === undefined ? {} : { after }) });
      found.push(...answer.incidents);
      if (answer.next === null) break;
      after = answer.next;
    }
  }
  return found;
}
