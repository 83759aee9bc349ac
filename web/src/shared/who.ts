/** The name and the role that the page is signed in with, and the way out. */
import { el, setHidden, setText } from "./dom";
import { describe, isUnnamed, knownWho, onWho, signOut, type Who } from "./session";
import { strings } from "./strings";

const words = strings.common;

/** A line that is hidden while nobody is signed in. */
export function whoLine(): HTMLElement {
  const name = el("span", { class: "who-name" });
  const fault = el("span", { class: "who-fault", hidden: true, attrs: { role: "alert" } });
  const leave = el("button", { text: words.signOut, attrs: { type: "button" } });
  leave.addEventListener("click", () => {
    signOut().catch((error: unknown) => {
      setText(fault, words.signOutFailed(describe(error)));
      setHidden(fault, false);
    });
  });
  const node = el("div", { class: "who", hidden: true }, name, leave, fault);
  const show = (who: Who | null): void => {
    setHidden(node, who === null || isUnnamed(who));
    if (who) setText(name, words.who(who.name, words.roles[who.role]));
  };
  show(knownWho());
  onWho(show);
  return node;
}
