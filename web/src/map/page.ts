/** The frame of the page: the map fills it, everything else lies at its edges. */
import { el, icon } from "../shared/dom";
import { strings } from "../shared/strings";
import { icons } from "./icons";

const words = strings.map;

export interface Parts {
  card: HTMLElement;
  list: HTMLElement;
  calls: HTMLElement;
  voices: HTMLElement;
  contact: HTMLElement;
  empty: HTMLElement;
  who: HTMLElement;
}

export interface PageActions {
  find(id: string): void;
  zoom(by: number): void;
  whole(): void;
  list(): void;
  help(): void;
}

export interface Page {
  map: HTMLElement;
  search: HTMLInputElement;
  searchNote: HTMLElement;
  status: HTMLElement;
  /** Says that places are approximate. */
  approximate: HTMLElement;
  tools: HTMLElement;
}

export function buildPage(parts: Parts, actions: PageActions): Page {
  const map = el("div", { id: "map" });
  const search = el("input", {
    id: "search",
    attrs: {
      type: "search",
      placeholder: words.search,
      "aria-label": words.search,
      autocomplete: "off",
      spellcheck: "false",
      enterkeyhint: "search",
    },
  });
  const searchNote = el("p", { class: "search-note", hidden: true, attrs: { role: "status" } });
  const form = el(
    "form",
    { class: "search", attrs: { role: "search" } },
    icon(icons.find),
    search,
    el("kbd", { text: "/", attrs: { "aria-hidden": "true" } }),
  );
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (search.value.trim() !== "") actions.find(search.value);
  });
  const status = el("p", { class: "status" });
  const approximate = el("p", { class: "approximate", hidden: true, text: words.approximate, attrs: { title: words.approximateWhy } });
  const tools = toolbar(actions);
  const skip = el("a", {
    class: "skip",
    text: words.skip,
    attrs: { href: "#list" },
    on: { click: (event) => (event.preventDefault(), actions.list()) },
  });
  const head = el(
    "header",
    { class: "bar" },
    el("h1", { class: "unseen", text: `${strings.common.product}: ${words.title}` }),
    form,
    parts.calls,
    searchNote,
  );
  const side = el("div", { class: "side" }, head, parts.card);
  const foot = el("div", { class: "foot" }, parts.who, approximate, status);
  tellHeight(foot, "--foot-height");
  tellHeight(head, "--bar-height");
  document.body.append(
    skip,
    el("main", {}, map, side, tools, parts.empty, foot),
    parts.list,
    parts.contact,
    parts.voices,
  );
  return { map, search, searchNote, status, approximate, tools };
}

/** Keeps the height of a part in a property of the style, for what has its place beside it. */
function tellHeight(part: HTMLElement, property: string): void {
  new ResizeObserver(() => document.documentElement.style.setProperty(property, `${part.offsetHeight}px`)).observe(part);
}

function toolbar(actions: PageActions): HTMLElement {
  const tool = (name: keyof typeof icons, label: string, act: () => void) =>
    el(
      "button",
      { data: { tool: name }, attrs: { type: "button", "aria-label": label, title: label }, on: { click: act } },
      icon(icons[name]),
    );
  const console = el(
    "a",
    { class: "tool", attrs: { href: "/incidents", "aria-label": words.toConsole, title: words.toConsole } },
    icon(icons.bell),
  );
  return el(
    "nav",
    { class: "tools", attrs: { "aria-label": words.tools } },
    el(
      "div",
      {},
      tool("plus", words.zoomIn, () => actions.zoom(1)),
      tool("minus", words.zoomOut, () => actions.zoom(-1)),
      tool("whole", words.whole, actions.whole),
    ),
    el("div", {}, tool("list", words.list, actions.list), console, tool("keys", words.help, actions.help)),
  );
}
