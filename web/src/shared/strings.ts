/** All words that people see, in one catalogue: one place to proofread and to translate. */
export const strings = {
  common: {
    product: "Vagn",
    refused: (status: number) => `The server refused with status ${status}.`,
    noAnswer: "The server did not answer in time.",
    noContact: "The server cannot be reached.",
    cancelled: "This was cancelled.",
    tokenTitle: "Today’s token",
    tokenWhy: "The server shows its data only to those who have a token. It is kept in this tab until you close it.",
    tokenWrong: "The server does not know this token, or no longer. Give the one of today.",
    tokenUnreadable: "A token has letters, digits and signs, and no spaces.",
    tokenLabel: "Token",
    tokenGive: "Go on",
    tokenLater: "Not now",
  },
  map: {},
  console: {},
} as const;
