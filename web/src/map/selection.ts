/**
 * The selected vehicle: asks for it once a second while the page is seen, knows its key and its trail, and tells what it found.
 */
import { vehicle, type Vehicle } from "../shared/api";
import { describe, Problem } from "../shared/session";
import type { Place } from "../shared/bounds";
import type { ServerClock } from "./clock";
import type { Fleet } from "./fleet/fleet";
import type { Names } from "./fleet/names";

const ROUND_MS = 1_000;
const TRAIL_MAX = 20_000;

export interface Selected {
  id: string;
  /** The latest answer; `null` before the first one. */
  vehicle: Vehicle | null;
  place: Place | null;
  trail: Place[];
  /** The vehicle is not known any more. */
  gone: boolean;
  fault: string | null;
}

export class Selection {
  private current: Selected | null = null;
  private key: number | null = null;
  private turn = 0;
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(
    private readonly fleet: Fleet,
    private readonly names: Names,
    private readonly clock: ServerClock,
    private readonly changed: (selected: Selected | null) => void,
  ) {
    document.addEventListener("visibilitychange", () => this.timer === null && this.current && void this.round(this.turn));
  }

  get id(): string | null {
    return this.current?.id ?? null;
  }

  /** The selected vehicle, or the promise of its first answer. */
  async select(id: string, known: { key: number; place: Place } | null = null): Promise<Selected | null> {
    if (this.current?.id === id) return this.current;
    this.end();
    this.current = { id, vehicle: null, place: known?.place ?? null, trail: [], gone: false, fault: null };
    if (known) this.setKey(known.key);
    this.changed(this.current);
    await this.round(this.turn);
    return this.current;
  }

  clear(): void {
    if (!this.current) return;
    this.end();
    this.fleet.hold([]);
    this.changed(null);
  }

  /** The tiles have been asked again: the ring goes where the vehicle is drawn. */
  refresh(): void {
    const { current, key } = this;
    if (!current || key === null) return;
    const drawn = this.fleet.find(key);
    if (!drawn) return;
    this.move(current, [drawn.lon, drawn.lat]);
    this.changed(current);
  }

  private end(): void {
    this.turn += 1;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.current = null;
    this.key = null;
  }

  private setKey(key: number): void {
    this.key = key;
    this.fleet.hold([key]);
    const { current } = this;
    if (!current) return;
    const earlier = this.fleet.memory.trail(key);
    current.trail = [...earlier, ...current.trail].slice(-TRAIL_MAX);
  }

  private async round(turn: number): Promise<void> {
    const { current } = this;
    if (!current || turn !== this.turn) return;
    try {
      const found = await vehicle(current.id);
      if (turn !== this.turn) return;
      this.clock.observe(Date.parse(found.properties.time) + found.properties.age_s * 1000);
      Object.assign(current, { vehicle: found, gone: false, fault: null });
      if (this.key === null || !this.fleet.find(this.key)) this.move(current, found.geometry.coordinates);
      if (this.key === null) void this.findKey(turn, found);
    } catch (error) {
      if (turn !== this.turn) return;
      current.gone = error instanceof Problem && error.status === 404;
      current.fault = current.gone ? null : describe(error);
    }
    this.changed(current);
    this.timer = document.hidden ? null : setTimeout(() => void this.round(turn), ROUND_MS);
  }

  private async findKey(turn: number, found: Vehicle): Promise<void> {
    const [lon, lat] = found.geometry.coordinates;
    const key = await this.names.keyOf(found.id, lon, lat).catch(() => null);
    if (turn === this.turn && key !== null && this.key === null) this.setKey(key);
  }

  private move(current: Selected, place: Place): void {
    current.place = place;
    const last = current.trail.at(-1);
    if (last && last[0] === place[0] && last[1] === place[1]) return;
    current.trail.push(place);
    if (current.trail.length > TRAIL_MAX) current.trail.shift();
  }
}
