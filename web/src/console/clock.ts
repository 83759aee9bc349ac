/** Time on the server's clock, so that all consoles show the same waiting times, however wrong the clock of a desk is. */
import { bothTimes } from "../shared/time";

/** Longest way of a question whose answer may set the clock, in ms: a slow one tells the time too late. */
const WAY_MAX_MS = 2_000;

export class ServerClock {
  private offsetMs: number | null = null;

  constructor(private readonly local: () => number = () => Date.now()) {}

  /** Takes the server's time from an answer to a question that was sent at `sentMs` and answered at `gotMs`, both local. */
  sync(serverTime: string, sentMs: number, gotMs: number): void {
    const server = Date.parse(serverTime);
    const way = gotMs - sentMs;
    if (Number.isNaN(server) || way < 0 || (way > WAY_MAX_MS && this.offsetMs !== null)) return;
    this.offsetMs = server - (sentMs + way / 2);
  }

  now(): number {
    return this.local() + (this.offsetMs ?? 0);
  }
}

/** A span as a running clock shows it: `0:07`, `12:45`, `3:07:12`, `2 d 03:07:12`. */
export function running(ms: number): string {
  const all = Math.max(0, Math.floor(ms / 1_000));
  const [days, hours, minutes, seconds] = [Math.floor(all / 86_400), Math.floor(all / 3_600) % 24, Math.floor(all / 60) % 60, all % 60];
  const two = (value: number): string => String(value).padStart(2, "0");
  if (days > 0) return `${days} d ${two(hours)}:${two(minutes)}:${two(seconds)}`;
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds)}` : `${minutes}:${two(seconds)}`;
}

/** A moment that the server named: local time with UTC beside it. */
export function moment(time: string | number, nowMs: number): string {
  const ms = typeof time === "number" ? time : Date.parse(time);
  return Number.isNaN(ms) ? String(time) : bothTimes(ms, nowMs);
}
