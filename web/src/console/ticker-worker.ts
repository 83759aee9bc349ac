/** The clock of `ticker.ts`. */
setInterval(() => postMessage(null), 1_000);

export {};
