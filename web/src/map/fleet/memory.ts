/**
 * Memory of the page: for each vehicle seen, when its last fix arrived, when it set out for it on the map, and its trail.
 *
 * Open addressing in typed arrays, because it is asked once per vehicle and update: 50 000 times a second.
 */

/** A vehicle that set out this long ago, or longer, has arrived. */
export const ARRIVED = -1e9;

/** Age in ms of a fix that a page which looks all the time sees at most: a tick, the next question, and the way. */
const FRESH_MS = 4_000;

/** Points that all trails have together; the oldest are forgotten first. 1 M points are 16 MB. */
const POINTS = 1 << 20;
const FIRST_SLOTS = 1 << 12;
/** Vehicles that are remembered at most; beyond it the page begins anew. */
const SLOTS_MAX = 1 << 21;

export class Memory {
  private mask = FIRST_SLOTS - 1;
  private used = 0;
  private keys = new Uint32Array(FIRST_SLOTS);
  /** NaN where the slot is free. */
  private received = new Float64Array(FIRST_SLOTS).fill(NaN);
  private start = new Float64Array(FIRST_SLOTS);
  private head = new Float64Array(FIRST_SLOTS);

  private readonly lons = new Int32Array(POINTS);
  private readonly lats = new Int32Array(POINTS);
  private readonly earlier = new Float64Array(POINTS);
  /** Number of the next point; points are numbered from 1, and 0 is none. */
  private next = 1;

  /**
   * Tells when a vehicle set out for its last fix, in ms of the page's clock.
   *
   * A vehicle that is known already sets out now, when its new fix is seen, so that nothing of the way is skipped. At first sight,
   * and after the page looked away, the arrival counts, `arrivedMs`. `held` vehicles are drawn at their last fix, and stay there
   * until the next one.
   */
  setOut(key: number, receivedMs: number, arrivedMs: number, nowMs: number, held: boolean, lon: number, lat: number): number {
    const slot = this.slot(key);
    const known = this.received[slot]!;
    if (known !== receivedMs) {
      const first = Number.isNaN(known);
      this.received[slot] = receivedMs;
      if (first) this.begin(slot, key);
      this.start[slot] = first || nowMs - arrivedMs > FRESH_MS ? arrivedMs : nowMs;
      this.remember(slot, lon, lat);
      if (first) this.makeRoom();
    }
    if (!held) return this.start[this.slot(key)]!;
    this.start[this.slot(key)] = ARRIVED;
    return ARRIVED;
  }

  /** Notes that a vehicle is drawn at its last fix. */
  arrive(key: number): void {
    const slot = this.slot(key);
    if (!Number.isNaN(this.received[slot]!)) this.start[slot] = ARRIVED;
  }

  /** Trail of a vehicle since the page saw it first: places in degrees, oldest first. */
  trail(key: number): [lon: number, lat: number][] {
    const slot = this.slot(key);
    const places: [number, number][] = [];
    let point = Number.isNaN(this.received[slot]!) ? 0 : this.head[slot]!;
    while (point > 0 && point > this.next - POINTS - 1) {
      const at = point % POINTS;
      places.push([this.lons[at]! * 1e-7, this.lats[at]! * 1e-7]);
      point = this.earlier[at]!;
    }
    return places.reverse();
  }

  private begin(slot: number, key: number): void {
    this.keys[slot] = key;
    this.head[slot] = 0;
    this.used += 1;
  }

  private remember(slot: number, lon: number, lat: number): void {
    const head = this.head[slot]!;
    const last = head % POINTS;
    // A vehicle that stands still needs no second point.
    if (head > this.next - POINTS && head > 0 && this.lons[last] === lon && this.lats[last] === lat) return;
    const at = this.next % POINTS;
    this.lons[at] = lon;
    this.lats[at] = lat;
    this.earlier[at] = head;
    this.head[slot] = this.next;
    this.next += 1;
  }

  /** The slot of a key, or the free one where it belongs. */
  private slot(key: number): number {
    let slot = Math.imul(key, 0x9e3779b1) >>> 0 & this.mask;
    while (!Number.isNaN(this.received[slot]!) && this.keys[slot] !== key) slot = (slot + 1) & this.mask;
    return slot;
  }

  private makeRoom(): void {
    const slots = this.mask + 1;
    if (this.used * 2 < slots) return;
    const old = { keys: this.keys, received: this.received, start: this.start, head: this.head };
    const size = slots * 2 > SLOTS_MAX ? FIRST_SLOTS : slots * 2;
    this.mask = size - 1;
    this.used = 0;
    this.keys = new Uint32Array(size);
    this.received = new Float64Array(size).fill(NaN);
    this.start = new Float64Array(size);
    this.head = new Float64Array(size);
    if (size < slots) return;
    for (let from = 0; from < slots; from += 1) {
      if (Number.isNaN(old.received[from]!)) continue;
      const to = this.slot(old.keys[from]!);
      this.keys[to] = old.keys[from]!;
      this.received[to] = old.received[from]!;
      this.start[to] = old.start[from]!;
      this.head[to] = old.head[from]!;
      this.used += 1;
    }
  }
}
