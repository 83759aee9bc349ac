/** All words that people see, in one catalogue: one place to proofread and to translate. */
export const strings = {
  common: {
    product: "Vagn",
  },
  map: {},
  console: {},
} as const;
