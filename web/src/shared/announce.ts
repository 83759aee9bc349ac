/** Tells those who do not see the page what happened: one polite and one pressing live region for a page. */
import { el, setText } from "./dom";

/** Time within which messages are put together, in ms: a hundred emergencies at once must not be read out one by one. */
const GATHER_MS = 600;

class Voice {
  readonly node: HTMLElement;
  private waiting: string[] = [];
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(role: "status" | "alert") {
    this.node = el("div", { class: "unseen", attrs: { role, "aria-atomic": "true" } });
  }

  say(text: string): void {
    if (text === "") return;
    this.waiting.push(text);
    this.timer ??= setTimeout(() => {
      this.timer = null;
      const said = this.waiting.length > 5 ? [...this.waiting.slice(0, 4), this.waiting.at(-1) ?? ""] : this.waiting;
      this.waiting = [];
      // The same words again are read again only where the region was empty in between.
      this.node.textContent = "";
      requestAnimationFrame(() => {
        setText(this.node, said.join(" "));
      });
    }, GATHER_MS);
  }
}

export class Announcer {
  private readonly polite = new Voice("status");
  private readonly pressing = new Voice("alert");

  mount(parent: Element): void {
    parent.append(this.polite.node, this.pressing.node);
  }

  say(text: string): void {
    this.polite.say(text);
  }

  alert(text: string): void {
    this.pressing.say(text);
  }
}
