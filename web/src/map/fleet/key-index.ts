/**
 * Numbers of vehicles by their keys: a table with open addressing, 8 bytes per place.
 *
 * Keys are hashes, so their low bits are as good as any.
 */

const FIRST_PLACES = 1 << 13;
/** A place: key, and number of the vehicle; 0 where the place is free. */
const [WORDS, KEY, NUMBER] = [2, 0, 1];

export class KeyIndex {
  private places = new Int32Array(FIRST_PLACES * WORDS);
  private mask = FIRST_PLACES - 1;
  private used = 0;

  /** Number of a key; 0 where it has none. */
  find(key: number): number {
    return this.places[this.place(key) * WORDS + NUMBER]!;
  }

  /** Gives a number to a key that has none. */
  add(key: number, number: number): void {
    if ((this.used + 1) * 2 > this.mask) this.grow();
    const at = this.place(key) * WORDS;
    this.places[at + KEY] = key;
    this.places[at + NUMBER] = number;
    this.used += 1;
  }

  /** The place of a key, or the free one where it belongs. */
  private place(key: number): number {
    const { places, mask } = this;
    let place = key & mask;
    while (places[place * WORDS + NUMBER] !== 0 && places[place * WORDS + KEY] !== key) place = (place + 1) & mask;
    return place;
  }

  private grow(): void {
    const { places } = this;
    this.places = new Int32Array(places.length * 2);
    this.mask = this.mask * 2 + 1;
    this.used = 0;
    for (let at = 0; at < places.length; at += WORDS) {
      if (places[at + NUMBER] !== 0) this.add(places[at + KEY]!, places[at + NUMBER]!);
    }
  }
}
