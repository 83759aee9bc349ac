/**
 * Memory of the page: for each vehicle seen, when its last fix arrived, when it set out for it on the map, and its trail.
 *
 * It is asked once per vehicle and update, 50 000 times a second, and what it costs are misses of the processor's cache. A tile brings
 * its vehicles in the same order each time, so vehicles are numbered in the order of first sight, and a tile keeps their numbers: the
 * memory is then read from front to back, and only those that came from elsewhere are looked up. The points of all trails lie in a
 * ring, written from front to back too.
 */
import { KeyIndex } from "./key-index";
import { DRILL, REAL, type Tile } from "./record";

/** A vehicle that set out this long ago, in ms, or longer, has arrived. */
export const ARRIVED = -1e9;

/** Age in ms of a fix that a page which looks all the time sees at most: a tick, the next question, and the way. */
const FRESH_MS = 4_000;

/** Points that all trails have together; the oldest are forgotten first. 1 M points are 12 MB. */
const POINTS = 1 << 20;
const FIRST_STATES = 1 << 12;
/** Beyond this number of vehicles the page begins anew. */
const VEHICLES_MAX = 1 << 21;

/**
 * A state: key; arrival of the last fix, the lower 32 bits of its ms; time of setting out in ms after the page's begin; number of the
 * last point, 0 for none. The first state is of no vehicle.
 */
const STATE = 4;
const [KEY, RECEIVED, START, HEAD] = [0, 1, 2, 3];

/** Flags of vehicles that call for help, in the last word of a record. */
const CALLS = (REAL | DRILL) << 24;

/** Vehicles next to each other in a tile's order that may have left it without the rest being looked up. */
const LEFT_MAX = 8;

/** What is known of a tile's vehicles, in its order. */
export interface Seen {
  /** Times of setting out, in ms after that of the update on the page's clock. */
  starts: Float32Array<ArrayBuffer>;
  /** Numbers of the vehicles in the memory, which make the tile's next update cheap. */
  numbers: Int32Array;
}

/** Times of an update, in ms: now and the newest fix after the page's begin, and the latter's lower 32 bits on the server's clock. */
interface Times {
  now: number;
  base: number;
  baseLow: number;
}

export class Memory {
  private index = new KeyIndex();
  private states = new Int32Array(FIRST_STATES * STATE);
  /** Number of the last vehicle. */
  private last = 0;

  private readonly lons = new Int32Array(POINTS);
  private readonly lats = new Int32Array(POINTS);
  private readonly earlier = new Int32Array(POINTS);
  /** Number of the next point; 0 is none. */
  private next = 1;

  /** `beginMs`: a time on the page's clock that all others are near to. */
  constructor(private readonly beginMs: number) {}

  /**
   * Tells when the vehicles of a tile set out for their last fixes. `before` are the numbers that the tile's last update gave.
   *
   * A vehicle that is known already sets out now, when its new fix is seen, so that nothing of the way is skipped. At first sight,
   * and after the page looked away, the arrival counts; `baseMs` is that of the tile's newest fix. `held` vehicles, and those that call
   * for help, are drawn at their last fix, and stay there until the next one.
   */
  setOut(tile: Tile, before: Int32Array | null, nowMs: number, baseMs: number, held: ReadonlySet<number>): Seen {
    const times = { now: this.relative(nowMs), base: this.relative(baseMs), baseLow: tile.baseMs | 0 };
    this.makeRoom(tile.count);
    const numbers = this.numbersOf(tile, before ?? new Int32Array());
    return { starts: this.startsOf(tile, numbers, times, held), numbers };
  }

  /** Follows the order of the tile before: vehicles may have left it, and others have come. */
  private numbersOf({ words, count }: Tile, before: Int32Array): Int32Array {
    const { states, last } = this;
    const numbers = new Int32Array(count);
    let next = 0;
    for (let at = 0; at < count; at += 1) {
      const key = words[at * 8 + 6]!;
      const end = Math.min(before.length, next + LEFT_MAX);
      let found = next;
      // Numbers from before the memory began anew may be those of others, or of none.
      while (found < end && (states[before[found]! * STATE + KEY] !== key || before[found]! > last)) found += 1;
      if (found < end) next = found + 1;
      numbers[at] = found < end ? before[found]! : this.number(key);
    }
    return numbers;
  }

  /** Whole numbers of 32 bits in here: others are put on the heap, which costs more than all the rest. */
  private startsOf(tile: Tile, numbers: Int32Array, times: Times, held: ReadonlySet<number>): Float32Array<ArrayBuffer> {
    const { words, count } = tile;
    const { states } = this;
    const { now, base, baseLow } = times;
    const starts = new Float32Array(count);
    const anyHeld = held.size > 0;
    for (let at = 0; at < count; at += 1) {
      const word = at * 8;
      const state = numbers[at]! * STATE;
      const ago = words[word + 4]!;
      const received = (baseLow - ago) | 0;
      const first = states[state + HEAD] === 0;
      if (first || states[state + RECEIVED] !== received) {
        const arrived = ago < 0 ? ARRIVED : base - ago;
        states[state + RECEIVED] = received;
        // Where no fix before is known the vehicle is at its last one; the server may tell the one before a moment later, and
        // that must not send it back.
        if (words[word + 5] === 0) states[state + START] = ARRIVED;
        else states[state + START] = first || now - arrived > FRESH_MS ? arrived : now;
        const moved = words[word] !== words[word + 2] || words[word + 1] !== words[word + 3];
        if (first || moved) this.remember(state, words[word]!, words[word + 1]!);
      }
      if ((words[word + 7]! & CALLS) !== 0 || (anyHeld && held.has(words[word + 6]! >>> 0))) states[state + START] = ARRIVED;
      starts[at] = states[state + START]! - now;
    }
    return starts;
  }

  /** Notes that a vehicle is drawn at its last fix. */
  arrive(key: number): void {
    const number = this.index.find(key | 0);
    if (number !== 0) this.states[number * STATE + START] = ARRIVED;
  }

  /** Trail of a vehicle since the page saw it first: places in degrees, oldest first. */
  trail(key: number): [lon: number, lat: number][] {
    const places: [number, number][] = [];
    let point = this.states[this.index.find(key | 0) * STATE + HEAD]!;
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

  private number(key: number): number {
    const known = this.index.find(key);
    if (known !== 0) return known;
    this.last += 1;
    this.states[this.last * STATE + KEY] = key;
    this.index.add(key, this.last);
    return this.last;
  }

  private remember(state: number, lon: number, lat: number): void {
    const point = this.next % POINTS;
    this.lons[point] = lon;
    this.lats[point] = lat;
    this.earlier[point] = this.states[state + HEAD]!;
    this.states[state + HEAD] = this.next;
    // Numbers have 31 bits: after them, which takes half a day of 50 000 moving vehicles, trails begin anew.
    this.next = this.next === 0x7fff_ffff ? 1 : this.next + 1;
  }

  /** Makes room for so many new vehicles. */
  private makeRoom(count: number): void {
    const wanted = (this.last + count + 1) * STATE;
    if (wanted <= this.states.length) return;
    if (this.last > VEHICLES_MAX) {
      this.index = new KeyIndex();
      this.states = new Int32Array(Math.max(FIRST_STATES, 2 * (count + 1)) * STATE);
      this.last = 0;
      return;
    }
    const states = new Int32Array(Math.max(wanted, this.states.length * 2));
    states.set(this.states);
    this.states = states;
  }
}
