/** The dialog that asks for a token. It stays until the server has taken one, or the person puts it off. */
import { el, setAttr, setHidden, setText } from "./dom";
import { describe, Problem } from "./problem";
import { strings } from "./strings";

const words = strings.common;
/** The only characters that a header may hold; others would make the request fail without a word. */
const READABLE = /^[\x21-\x7e]+$/;

/** Returns true once `send` has taken a token, and false where the person puts it off. */
export function showSignIn(send: (token: string) => Promise<void>): Promise<boolean> {
  return new Promise((resolve) => {
    const input = el("input", {
      id: "token-input",
      attrs: { type: "password", name: "token", autocomplete: "off", required: true, spellcheck: "false", "aria-describedby": "token-why token-fault" },
    });
    const fault = el("p", { id: "token-fault", class: "dialog-fault", hidden: true, attrs: { role: "alert" } });
    const later = el("button", { text: words.signInLater, attrs: { type: "button" }, on: { click: () => dialog.close() } });
    const go = el("button", { class: "primary", text: words.signIn, attrs: { type: "submit" } });
    const form = el(
      "form",
      { attrs: { method: "dialog", novalidate: true } },
      el("h2", { id: "token-title", text: words.signInTitle }),
      el("p", { id: "token-why", text: words.signInWhy }),
      el("label", { text: words.tokenLabel, attrs: { for: "token-input" } }),
      input,
      fault,
      el("div", { class: "dialog-buttons" }, later, go),
    );
    const dialog = el("dialog", { class: "dialog token-dialog", attrs: { "aria-labelledby": "token-title" } }, form);
    let given = false;
    const refuse = (why: string): void => {
      setText(fault, why);
      setHidden(fault, false);
      setAttr(input, "aria-invalid", "true");
      input.focus();
    };
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const token = tokenOf(input.value);
      if (!READABLE.test(token)) return refuse(words.tokenUnreadable);
      setAttr(go, "aria-busy", "true");
      go.disabled = true;
      // What is left of an earlier try is no answer to this one.
      setHidden(fault, true);
      send(token).then(
        () => {
          given = true;
          dialog.close();
        },
        (error: unknown) => {
          setAttr(go, "aria-busy", null);
          go.disabled = false;
          if (error instanceof Problem && error.status === 401) input.value = "";
          refuse(reason(error));
        },
      );
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(given);
    });
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}

/** The token in what was typed: `vagn token add` also prints it as a header, and that line may be pasted whole. */
export function tokenOf(typed: string): string {
  return typed.trim().replace(/^(authorization:\s*)?bearer\s+/i, "");
}

/** The reason of a refusal, in words for the person who typed the token. */
export function reason(error: unknown): string {
  if (!(error instanceof Problem)) return describe(error);
  if (error.status === 401) return words.tokenWrong;
  if (error.status === 403) return words.tokenNotForPages;
  if (error.status === 429) return words.tokenSlowed;
  return describe(error);
}
