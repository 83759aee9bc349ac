/** Chance that can be had again: a run prints its seed, and `SEED=… make browser-test` repeats it. */

/** The seed of this run. */
export const SEED = Number(process.env["SEED"] ?? Math.floor(Math.random() * 2 ** 32)) >>> 0;

/** Returns a source of numbers from 0 up to 1 (mulberry32). */
export function chance(seed: number = SEED): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
