/** Shortcuts of single keys. They can be switched off, since people who speak to their computer press keys without knowing. */

const STORED_AS = "vagn.keys";

export type Shortcuts = Record<string, () => void>;

export class Keys {
  private enabled = read();

  constructor(shortcuts: Shortcuts, escape: () => void) {
    addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.querySelector("dialog[open]"))
        return;
      if (event.key === "Escape") return escape();
      if (!this.enabled || writes(event.target)) return;
      const act = shortcuts[event.key.toLowerCase()];
      if (!act) return;
      event.preventDefault();
      act();
    });
  }

  get on(): boolean {
    return this.enabled;
  }

  set on(on: boolean) {
    this.enabled = on;
    try {
      localStorage.setItem(STORED_AS, on ? "on" : "off");
    } catch {
      // A browser that allows no storage keeps the choice until the page is loaded again.
    }
  }
}

function read(): boolean {
  try {
    return localStorage.getItem(STORED_AS) !== "off";
  } catch {
    return true;
  }
}

function writes(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName));
}
