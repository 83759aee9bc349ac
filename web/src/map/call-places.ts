/**
 * Where the vehicles of open incidents are now. An incident tells the place of its calls; a vehicle that drives on reports as any
 * other, and its pin goes along.
 */
import { vehicle, type Incident } from "../shared/api";
import { Problem } from "../shared/session";
import type { Place } from "../shared/bounds";
import type { Fleet } from "./fleet/fleet";
import type { Names } from "./fleet/names";
import type { Pin } from "./pins";

const ROUND_MS = 1_000;
/** Vehicles asked for in a round; with more open calls each is asked less often. */
const AT_A_TIME = 4;
/** Pause after an answer that the fleet does not have the vehicle: its alarm came without a position, or it was deleted. */
const UNKNOWN_MS = 5_000;

interface Known {
  place: Place;
  timeMs: number;
  key: number | null;
}

export class CallPlaces {
  private readonly known = new Map<string, Known>();
  private readonly unknownUntil = new Map<string, number>();
  private calls: Incident[] = [];
  private next = 0;

  constructor(
    private readonly fleet: Fleet,
    private readonly names: Names,
    private readonly moved: () => void,
  ) {
    setInterval(() => void this.round(), ROUND_MS);
  }

  /** Takes the open incidents. */
  set(calls: Incident[]): void {
    this.calls = calls;
    const open = new Set(calls.map((one) => one.vehicle_id));
    for (const ids of [this.known, this.unknownUntil]) for (const id of ids.keys()) if (!open.has(id)) ids.delete(id);
    for (const { vehicle_id, position } of calls) {
      if (position) this.learn(vehicle_id, [position.lon, position.lat], Date.parse(position.time));
    }
  }

  placeOf(vehicleId: string): Place | null {
    return this.known.get(vehicleId)?.place ?? null;
  }

  /** A pin per vehicle that calls for help; real calls win over drills of the same vehicle. */
  pins(): Pin[] {
    const pins = new Map<string, Pin>();
    for (const { vehicle_id, test } of this.calls) {
      const place = this.placeOf(vehicle_id);
      if (place && (!test || !pins.has(vehicle_id)))
        pins.set(vehicle_id, { vehicleId: vehicle_id, drill: test, lon: place[0], lat: place[1] });
    }
    return [...pins.values()];
  }

  /** Puts the pins onto vehicles that are drawn singly. */
  refresh(): void {
    const keys = new Map<number, Known>();
    for (const known of this.known.values()) if (known.key !== null) keys.set(known.key, known);
    if (keys.size === 0) return;
    for (const { key, lon, lat } of this.fleet.findAll(keys)) {
      const known = keys.get(key);
      if (known) known.place = [lon, lat];
    }
    this.moved();
  }

  private async round(): Promise<void> {
    const now = Date.now();
    // Those too that called without a place: they may report one any time.
    const ids = [...new Set(this.calls.map((one) => one.vehicle_id))].filter((id) => now >= (this.unknownUntil.get(id) ?? 0));
    if (document.hidden || ids.length === 0) return;
    const turn = Array.from({ length: Math.min(AT_A_TIME, ids.length) }, (_, at) => ids[(this.next + at) % ids.length]!);
    this.next += turn.length;
    await Promise.all(turn.map((id) => this.ask(id).catch((why: unknown) => this.failed(id, why))));
    this.moved();
  }

  private async ask(id: string): Promise<void> {
    const found = await vehicle(id);
    const known = this.learn(id, found.geometry.coordinates, Date.parse(found.properties.time));
    if (known && known.key === null && this.fleet.single) known.key = await this.names.keyOf(id, ...known.place);
  }

  private failed(id: string, why: unknown): void {
    if (why instanceof Problem && why.status === 404) this.unknownUntil.set(id, Date.now() + UNKNOWN_MS);
  }

  private learn(id: string, place: Place, timeMs: number): Known | undefined {
    const known = this.known.get(id);
    if (!known) this.known.set(id, { place, timeMs, key: null });
    else if (timeMs > known.timeMs) Object.assign(known, { place, timeMs });
    return known;
  }
}
