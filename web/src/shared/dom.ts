/**
 * Builds elements. Everything that comes from outside becomes a text node or an attribute, never markup, so that a vehicle
 * named `<img onerror=…>` is a text; and nothing in it is hidden, so that no vehicle looks like another.
 */
import { visible } from "./visible";

export type Child = Node | string | number | null | undefined | false;

export interface Props {
  class?: string;
  id?: string;
  text?: string;
  hidden?: boolean;
  /** Other attributes; `null` and `false` leave one out, `true` gives it without a value. */
  attrs?: Record<string, string | number | boolean | null | undefined>;
  data?: Record<string, string>;
  on?: { [Name in keyof HTMLElementEventMap]?: (event: HTMLElementEventMap[Name]) => void };
}

export function el<Tag extends keyof HTMLElementTagNameMap>(
  tag: Tag,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[Tag] {
  const node = document.createElement(tag);
  if (props.class) node.className = props.class;
  if (props.id) node.id = props.id;
  if (props.text !== undefined) node.textContent = visible(props.text);
  if (props.hidden) node.hidden = true;
  for (const [name, value] of Object.entries(props.attrs ?? {})) setAttr(node, name, value);
  for (const [name, value] of Object.entries(props.data ?? {})) node.dataset[name] = value;
  for (const [name, listener] of Object.entries(props.on ?? {})) {
    node.addEventListener(name, listener as EventListener);
  }
  append(node, children);
  return node;
}

/** Sets a text only where it changed: a live region is read anew after each write. */
export function setText(node: Node, text: string): void {
  const shown = visible(text);
  if (node.textContent !== shown) node.textContent = shown;
}

/** Sets an attribute only where it changed. */
export function setAttr(node: Element, name: string, value: string | number | boolean | null | undefined): void {
  if (value === null || value === undefined || value === false) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
    return;
  }
  const text = value === true ? "" : visible(String(value));
  if (node.getAttribute(name) !== text) node.setAttribute(name, text);
}

export function setHidden(node: HTMLElement, hidden: boolean): void {
  if (node.hidden !== hidden) node.hidden = hidden;
}

/** Replaces all children of `node`. Not for parts that may hold the focus. */
export function fill(node: Element, ...children: Child[]): void {
  node.replaceChildren();
  append(node, children);
}

/** An icon from path data, drawn in the colour of the text and hidden from screen readers: a word stands beside it. */
export function icon(path: string, className = "icon"): SVGSVGElement {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", className);
  svg.setAttribute("aria-hidden", "true");
  const shape = document.createElementNS(space, "path");
  shape.setAttribute("d", path);
  svg.append(shape);
  return svg;
}

function append(node: Element, children: Child[]): void {
  for (const child of children) {
    if (child === null || child === undefined || child === false) continue;
    node.append(typeof child === "number" ? String(child) : typeof child === "string" ? visible(child) : child);
  }
}
