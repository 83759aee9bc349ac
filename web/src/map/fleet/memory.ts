/**
 * Memory of the page: for each vehicle seen, when its last fix arrived, when it set out for it on the map, and its trail.
 *
 * It is asked once per vehicle and update, 50 000 times a second, and what it costs are misses of the processor's cache. So it is a
 * table with open addressing, 16 bytes per vehicle; the points of all trails lie in a ring, written from front to back.
 */
import { DRILL, REAL, type Tile } from "./record";

/** A vehicle that set out this long ago, in ms, or longer, has arrived. */
export const ARRIVED = -1e9;

/** Age in ms of a fix that a page which looks all the time sees at most: a tick, the next question, and the way. */
const FRESH_MS = 4_000;

/** Points that all trails have together; the oldest are forgotten first. 1 M points are 12 MB. */
const POINTS = 1 << 20;
const FIRST_SLOTS = 1 << 12;
/** Beyond this number of slots the page begins anew. */
const SLOTS_MAX = 1 << 22;

/**
 * A slot: key; arrival of the last fix, the lower 32 bits of its ms; time of setting out in ms after the page's begin; number of the
 * last point, 0 where the slot is free.
 */
const SLOT = 4;
/** Flags of vehicles that call for help, in the last word of a record. */
const CALLS = (REAL | DRILL) << 24;
const [KEY, RECEIVED, START, HEAD] = [0, 1, 2, 3];

/** Vehicles whose slots are found together. */
const CHUNK = 256;

/** Times of an update, in ms: now and the newest fix after the page's begin, and the latter's lower 32 bits on the server's clock. */
interface Times {
  now: number;
  base: number;
  baseLow: number;
}

export class Memory {
  private mask = 0;
  private used = 0;
  private table = new Int32Array();
  private readonly slots = new Int32Array(CHUNK);

  private readonly lons = new Int32Array(POINTS);
  private readonly lats = new Int32Array(POINTS);
  private readonly earlier = new Int32Array(POINTS);
  /** Number of the next point; 0 is none. */
  private next = 1;

  /** `beginMs`: a time on the page's clock that all others are near to. */
  constructor(private readonly beginMs: number) {
    this.clear(FIRST_SLOTS);
  }

  /**
   * Tells when the vehicles of a tile set out for their last fixes: `starts` gets ms after `nowMs`, on the page's clock.
   *
   * A vehicle that is known already sets out now, when its new fix is seen, so that nothing of the way is skipped. At first sight,
   * and after the page looked away, the arrival counts; `baseMs` is that of the tile's newest fix. `held` vehicles, and those that call
   * for help, are drawn at their last fix, and stay there until the next one.
   */
  setOut(tile: Tile, starts: Float32Array, nowMs: number, baseMs: number, held: ReadonlySet<number>): void {
    const times = { now: this.relative(nowMs), base: this.relative(baseMs), baseLow: tile.baseMs | 0 };
    for (let from = 0; from < tile.count; from += CHUNK) {
      const to = Math.min(tile.count, from + CHUNK);
      this.makeRoom(CHUNK);
      this.lookUp(tile.words, from, to);
      this.setOutChunk(tile.words, from, to, starts, times, held);
    }
  }

  /** Finds the slots of a chunk before they are used, so that the processor waits for many of them at once. */
  private lookUp(words: Int32Array, from: number, to: number): void {
    const { slots } = this;
    for (let at = from; at < to; at += 1) slots[at - from] = this.slot(words[at * 8 + 6]!, words[at * 8 + 6]!);
  }

  /** Whole numbers of 32 bits in here: others are put on the heap, which costs more than all the rest. */
  private setOutChunk(
    words: Int32Array,
    from: number,
    to: number,
    starts: Float32Array,
    times: Times,
    held: ReadonlySet<number>,
  ): void {
    const { table, slots } = this;
    const { now, base, baseLow } = times;
    const anyHeld = held.size > 0;
    for (let at = from; at < to; at += 1) {
      const word = at * 8;
      const key = words[word + 6]!;
      // A vehicle of the same chunk may have taken the free slot meanwhile.
      const slot = this.slot(key, slots[at - from]!) * SLOT;
      const ago = words[word + 4]!;
      const received = (baseLow - ago) | 0;
      const first = table[slot + HEAD] === 0;
      if (first || table[slot + RECEIVED] !== received) {
        const arrived = ago < 0 ? ARRIVED : base - ago;
        table[slot + RECEIVED] = received;
        // Where no fix before is known the vehicle is at its last one; the server may tell the one before a moment later, and
        // that must not send it back.
        if (words[word + 5] === 0) table[slot + START] = ARRIVED;
        else table[slot + START] = first || now - arrived > FRESH_MS ? arrived : now;
        if (first) this.begin(slot, key);
        const moved = words[word] !== words[word + 2] || words[word + 1] !== words[word + 3];
        if (first || moved) this.remember(slot, words[word]!, words[word + 1]!);
      }
      if ((words[word + 7]! & CALLS) !== 0 || (anyHeld && held.has(key >>> 0))) table[slot + START] = ARRIVED;
      starts[at] = table[slot + START]! - now;
    }
  }

  /** Notes that a vehicle is drawn at its last fix. */
  arrive(key: number): void {
    const at = this.slot(key | 0, key) * SLOT;
    if (this.table[at + HEAD] !== 0) this.table[at + START] = ARRIVED;
  }

  /** Trail of a vehicle since the page saw it first: places in degrees, oldest first. */
  trail(key: number): [lon: number, lat: number][] {
    const places: [number, number][] = [];
    let point = this.table[this.slot(key | 0, key) * SLOT + HEAD]!;
    while (point > 0 && point < this.next && point >= this.next - POINTS) {
      const at = point % POINTS;
      places.push([this.lons[at]! * 1e-7, this.lats[at]! * 1e-7]);
      point = this.earlier[at]!;
    }
    return places.reverse();
  }

  /** A time in ms after the page's begin; one that is weeks away is long ago in any case. */
  private relative(ms: number): number {
    return Math.round(Math.max(ARRIVED, Math.min(-ARRIVED, ms - this.beginMs)));
  }

  private begin(at: number, key: number): void {
    this.table[at + KEY] = key;
    this.used += 1;
  }

  private remember(at: number, lon: number, lat: number): void {
    const point = this.next % POINTS;
    this.lons[point] = lon;
    this.lats[point] = lat;
    this.earlier[point] = this.table[at + HEAD]!;
    this.table[at + HEAD] = this.next;
    // Numbers have 31 bits: after them, which takes half a day of 50 000 moving vehicles, trails begin anew.
    this.next = this.next === 0x7fff_ffff ? 1 : this.next + 1;
  }

  /** The slot of a key, or the free one where it belongs, from `first` on. Keys are hashes, so their low bits are as good as any. */
  private slot(key: number, first: number): number {
    const { table, mask } = this;
    let slot = first & mask;
    while (table[slot * SLOT + KEY] !== key && table[slot * SLOT + HEAD] !== 0) slot = (slot + 1) & mask;
    return slot;
  }

  private clear(slots: number): void {
    this.mask = slots - 1;
    this.used = 0;
    this.table = new Int32Array(slots * SLOT);
  }

  /** Makes room for so many new vehicles while a quarter of the slots is still free. */
  private makeRoom(count: number): void {
    if ((this.used + count) * 4 < (this.mask + 1) * 3) return;
    const { table, mask } = this;
    const slots = (mask + 1) * 2;
    this.clear(slots > SLOTS_MAX ? FIRST_SLOTS : slots);
    if (slots > SLOTS_MAX) return;
    for (let from = 0; from <= mask; from += 1) {
      if (table[from * SLOT + HEAD] === 0) continue;
      const key = table[from * SLOT + KEY]!;
      this.table.set(table.subarray(from * SLOT, (from + 1) * SLOT), this.slot(key, key) * SLOT);
      this.used += 1;
    }
  }
}
