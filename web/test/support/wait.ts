/** Waiting for what comes in its own time. A machine under load is slow, so the limit is generous and never the thing tested. */

/** Longest time for any step of a test, in ms. */
export const LIMIT_MS = 60_000;

const PAUSE_MS = 50;

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Asks again and again until the answer is true, and fails after the limit. Errors of `question` count as no. */
export async function eventually(what: string, question: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + LIMIT_MS;
  let last: unknown = "it was never true";
  while (Date.now() < end) {
    try {
      if (await question()) return;
    } catch (err) {
      last = err;
    }
    await sleep(PAUSE_MS);
  }
  throw new Error(`waited ${LIMIT_MS / 1000} s in vain for ${what}`, { cause: last });
}
