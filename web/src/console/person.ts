/** Name of the person at this desk, kept in the browser: it goes into the trail with everything they do. */
import { el, setHidden, setText } from "../shared/dom";
import { knownWho } from "../shared/session";
import { strings } from "../shared/strings";

const words = strings.console.person;
const STORED_AS = "vagn.person";
/** As the server limits it. */
const NAME_MAX = 64;

let memory = "";
const listeners = new Set<(name: string) => void>();

export function personName(): string {
  try {
    return localStorage.getItem(STORED_AS) ?? memory;
  } catch {
    return memory;
  }
}

export function onPersonChange(listener: (name: string) => void): void {
  listeners.add(listener);
  // Another tab of the same desk has the same person.
  addEventListener("storage", (event) => {
    if (event.key === STORED_AS) listener(personName());
  });
}

/** Returns the name, and asks for it where it is not known. `null` where the person gave none. */
export async function needPerson(): Promise<string | null> {
  const who = knownWho();
  // The server records what it knows, whatever is said here.
  if (who?.by === "ignored") return who.name;
  const known = personName();
  return known === "" ? askPerson() : known;
}

/** Returns the name as the server records it: for a trusted desk with that of the desk. */
export function recordedName(by: string): string {
  const who = knownWho();
  return who?.by === "on_behalf" ? `${by} via ${who.name}` : by;
}

/** Asks for the name in a dialog. */
export function askPerson(): Promise<string | null> {
  return new Promise((resolve) => {
    const input = el("input", {
      id: "person-input",
      attrs: { name: "name", autocomplete: "name", maxlength: NAME_MAX, required: true, "aria-describedby": "person-why" },
    });
    input.value = personName();
    const fault = el("p", { class: "dialog-fault", hidden: true, attrs: { role: "alert" } });
    const cancel = el("button", { text: words.cancel, attrs: { type: "button" }, on: { click: () => dialog.close() } });
    const form = el(
      "form",
      { attrs: { method: "dialog", novalidate: true } },
      el("h2", { id: "person-title", text: words.title }),
      el("p", { id: "person-why", text: words.why }),
      el("label", { text: words.label, attrs: { for: "person-input" } }),
      input,
      fault,
      el("div", { class: "dialog-buttons" }, cancel, el("button", { class: "primary", text: words.keep, attrs: { type: "submit" } })),
    );
    const dialog = el("dialog", { class: "dialog", attrs: { "aria-labelledby": "person-title" } }, form);
    let given: string | null = null;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const name = input.value.trim();
      if (name === "") {
        setText(fault, words.empty);
        setHidden(fault, false);
        input.focus();
        return;
      }
      given = name;
      keep(name);
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(given);
    });
    document.body.append(dialog);
    dialog.showModal();
    input.select();
  });
}

function keep(name: string): void {
  memory = name;
  try {
    localStorage.setItem(STORED_AS, name);
  } catch {
    // A browser that allows no storage forgets the name with the page.
  }
  for (const listener of listeners) listener(name);
}
