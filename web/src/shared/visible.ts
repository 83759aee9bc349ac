/**
 * Makes visible what a vehicle or a person could hide in a name: control characters, marks that turn the direction of writing, and
 * characters without width. With them one name could look like another.
 *
 * The same characters as in the service's log and on its terminal.
 */
const HIDDEN =
  /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2065\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\u{e0000}-\u{e0fff}]/gu;

/** Line breaks and tabs that a text of several lines may have. */
const LAYOUT = /[\n\t]/;

export function visible(text: string): string {
  return text.replace(HIDDEN, (hidden) => (LAYOUT.test(hidden) ? hidden : `\\u{${hidden.codePointAt(0)?.toString(16)}}`));
}
