/** The card beside the map, a sheet on a phone: shows one thing at a time, and can be put away. */
import { el, icon } from "../shared/dom";
import { strings } from "../shared/strings";
import { icons } from "./icons";

export interface CardContent {
  title: string;
  /** Small words above the title. */
  kicker?: string;
  body: HTMLElement;
  /** The person has put the card away, or other content takes its place. */
  closed?(): void;
}

export class Card {
  readonly node = el("section", { class: "card", hidden: true, attrs: { "aria-labelledby": "card-title" } });
  private content: CardContent | null = null;
  private back: HTMLElement | null = null;

  /** `opened`: makes room for it. */
  constructor(private readonly opened: () => void) {}

  /** `focus`: the person opened it by the keyboard, and goes on reading here. */
  show(content: CardContent, focus: boolean): void {
    const before = this.content;
    this.content = content;
    this.opened();
    if (before !== content) before?.closed?.();
    if (focus && !this.node.contains(document.activeElement)) this.back = document.activeElement as HTMLElement | null;
    const title = el("h2", { id: "card-title", text: content.title, attrs: { tabindex: -1 } });
    const close = el(
      "button",
      {
        class: "plain",
        attrs: { type: "button", "aria-label": strings.map.close, title: strings.map.close },
        on: { click: () => this.close() },
      },
      icon(icons.close),
    );
    const head = el("div", {}, content.kicker ? el("p", { class: "kicker", text: content.kicker }) : null, title);
    this.node.replaceChildren(el("header", { class: "card-head" }, head, close), content.body);
    this.node.hidden = false;
    if (focus) title.focus();
  }

  /** The content that is shown. */
  get shown(): CardContent | null {
    return this.content;
  }

  close(): void {
    const { content } = this;
    if (!content) return;
    const hadFocus = this.node.contains(document.activeElement);
    this.content = null;
    this.node.hidden = true;
    this.node.replaceChildren();
    if (hadFocus) (this.back?.isConnected ? this.back : document.querySelector<HTMLElement>(".maplibregl-canvas"))?.focus();
    this.back = null;
    content.closed?.();
  }
}
