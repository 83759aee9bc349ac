/**
 * Server-sent events over `fetch`, since the browser's own `EventSource` tells nothing of a refusal.
 *
 * `EventParser` reads text in pieces of any length. `EventStream` keeps a connection: it comes back by itself, resumes after the
 * last event it has seen, and takes silence for a loss, since a dead connection may stay open for minutes without a word.
 */
import { describe, isCancelled, Problem, request } from "./session";

export interface ServerEvent {
  /** `message` where the server gave no name. */
  event: string;
  data: string;
  /** The last id so far, this event's own included; an empty text where none came yet. */
  id: string;
}

/** Reads the text of an event stream, as the HTML standard describes it. */
export class EventParser {
  lastId = "";
  /** Pause before the next connection that the server asked for, in ms. */
  retryMs: number | null = null;
  private rest = "";
  private started = false;
  private afterReturn = false;
  private name = "";
  private data: string[] = [];

  /** Takes the next piece of text, and returns the events that it completes. */
  push(piece: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    for (const line of this.lines(piece)) {
      const event = this.line(line);
      if (event) events.push(event);
    }
    return events;
  }

  /** Forgets a half-read event, as a new connection must; the last id stays. */
  restart(): void {
    this.rest = "";
    this.started = false;
    this.afterReturn = false;
    this.name = "";
    this.data = [];
  }

  private lines(piece: string): string[] {
    let text = piece;
    if (!this.started && text !== "") {
      this.started = true;
      text = text.replace(/^\uFEFF/, "");
    }
    // A line end of two characters may be cut between them.
    if (this.afterReturn && text.startsWith("\n")) text = text.slice(1);
    if (piece !== "") this.afterReturn = piece.endsWith("\r");
    const parts = (this.rest + text).split(/\r\n|\r|\n/);
    this.rest = parts.pop() ?? "";
    return parts;
  }

  private line(line: string): ServerEvent | null {
    if (line === "") return this.dispatch();
    if (line.startsWith(":")) return null;
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    this.field(field, value);
    return null;
  }

  private field(field: string, value: string): void {
    if (field === "event") this.name = value;
    else if (field === "data") this.data.push(value);
    else if (field === "id" && !value.includes("\0")) this.lastId = value;
    else if (field === "retry" && /^\d+$/.test(value)) this.retryMs = Number(value);
  }

  private dispatch(): ServerEvent | null {
    const { name, data } = this;
    this.name = "";
    this.data = [];
    if (data.length === 0) return null;
    return { event: name === "" ? "message" : name, data: data.join("\n"), id: this.lastId };
  }
}

export type StreamState =
  /** No connection was there yet. */
  | { kind: "connecting" }
  /** `resumed`: events since the last one seen are on their way; false where the page begins afresh. */
  | { kind: "connected"; resumed: boolean }
  /** `since`: time on the clock of the stream, in ms, of the last byte received, or of the first try. */
  | { kind: "lost"; since: number; why: string }
  /** The server has nothing under this address, or not for this principal: to ask again does not help by itself. */
  | { kind: "refused"; status: number };

export interface StreamOptions {
  /** Longest silence, in ms: the server sends something at least every 15 s. */
  silenceMs?: number;
  /** Longest wait for the start of an answer, in ms. */
  connectMs?: number;
  /** Longest pause between two tries, in ms. */
  pauseMaxMs?: number;
  /** Id to resume after, of an earlier stream. */
  lastId?: string;
  now?: () => number;
  random?: () => number;
  /** Asks the server; leads to the sign-in unless another one is given. */
  ask?: typeof request;
}

export interface StreamHandlers {
  event: (event: ServerEvent) => void;
  state: (state: StreamState) => void;
}

const DEFAULTS = { silenceMs: 20_000, connectMs: 10_000, pauseMaxMs: 5_000, lastId: "" };

/** Length of the pause before try number `failures` + 1: doubles, with a spread so that many pages do not come back at once. */
export function pauseMs(failures: number, firstMs: number, maxMs: number, chance: number): number {
  const full = Math.min(maxMs, firstMs * 2 ** Math.min(failures - 1, 16));
  return full * (0.5 + chance / 2);
}

/** A connection that is kept until `stop`. */
export class EventStream {
  private readonly options: Required<StreamOptions>;
  private readonly parser = new EventParser();
  private readonly ended = new AbortController();
  private failures = 0;
  private heardAt: number;
  private wake: (() => void) | null = null;
  private current: AbortController | null = null;
  private atOnce = false;

  constructor(
    private readonly path: string,
    private readonly handlers: StreamHandlers,
    options: StreamOptions = {},
  ) {
    this.options = { ...DEFAULTS, now: () => Date.now(), random: () => Math.random(), ask: request, ...options };
    this.parser.lastId = this.options.lastId;
    this.heardAt = this.options.now();
  }

  get lastId(): string {
    return this.parser.lastId;
  }

  start(): void {
    this.handlers.state({ kind: "connecting" });
    void this.run();
  }

  stop(): void {
    this.ended.abort();
    this.wake?.();
  }

  /** Ends the pause before the next try, as when the network is said to be back. */
  hurry(): void {
    this.wake?.();
  }

  /** Connects anew at once, also where a connection seems to be there: after a break of the line it may be dead. */
  renew(): void {
    this.atOnce = true;
    this.current?.abort();
    this.wake?.();
  }

  private async run(): Promise<void> {
    while (!this.ended.signal.aborted) {
      const why = await this.connect();
      if (this.ended.signal.aborted) return;
      this.failures += 1;
      this.handlers.state({ kind: "lost", since: this.heardAt, why });
      if (!this.atOnce) await this.pause();
      this.atOnce = false;
    }
  }

  /** Follows one connection to its end, and returns the reason of the end. */
  private async connect(): Promise<string> {
    const cut = new AbortController();
    this.current = cut;
    const watch = new Watch(cut);
    const signal = AbortSignal.any([cut.signal, this.ended.signal]);
    try {
      watch.limit(this.options.connectMs);
      const response = await this.options.ask(this.path, { limitMs: null, signal, headers: this.headers() });
      this.opened();
      await this.read(response, watch);
      return "";
    } catch (error) {
      const status = error instanceof Problem ? error.status : 0;
      if (status === 403 || status === 404) this.handlers.state({ kind: "refused", status });
      return isCancelled(error) ? "" : describe(error);
    } finally {
      watch.end();
      cut.abort();
    }
  }

  private headers(): Record<string, string> {
    const id = this.parser.lastId;
    return { Accept: "text/event-stream", ...(id === "" ? {} : { "Last-Event-ID": id }) };
  }

  private opened(): void {
    const resumed = this.parser.lastId !== "";
    this.parser.restart();
    this.failures = 0;
    this.heardAt = this.options.now();
    this.handlers.state({ kind: "connected", resumed });
  }

  private async read(response: Response, watch: Watch): Promise<void> {
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    if (!reader) return;
    for (;;) {
      watch.limit(this.options.silenceMs);
      const { done, value } = await reader.read();
      if (done) return;
      this.heardAt = this.options.now();
      for (const event of this.parser.push(value)) this.handlers.event(event);
    }
  }

  private pause(): Promise<void> {
    const first = this.parser.retryMs ?? 1_000;
    const ms = pauseMs(this.failures, first, Math.max(first, this.options.pauseMaxMs), this.options.random());
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.wake?.(), ms);
      this.wake = () => {
        clearTimeout(timer);
        this.wake = null;
        resolve();
      };
    });
  }
}

/** Cuts a connection that has been silent for too long. */
class Watch {
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly cut: AbortController) {}

  limit(ms: number): void {
    this.end();
    this.timer = setTimeout(() => this.cut.abort(), ms);
  }

  end(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
  }
}
