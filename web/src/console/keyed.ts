/**
 * Lists whose elements stay the same while their data changes, so that focus, selection and scrolling stay where they are.
 *
 * `arrange` puts elements in order and `sweep` removes those that are over. They are apart because an element may move to
 * another list: removed first, it would lose the focus.
 */
export interface View<Item> {
  readonly node: HTMLElement;
  update(item: Item): void;
}

export class Keyed<Item> {
  private shown: HTMLElement[] = [];
  private wanted = new Set<HTMLElement>();

  constructor(
    private readonly parent: Element,
    private readonly view: (item: Item) => View<Item>,
  ) {}

  arrange(items: readonly Item[]): void {
    const views = items.map((item) => this.view(item));
    const nodes = views.map((view) => view.node);
    let at: ChildNode | null = this.parent.firstChild;
    for (const node of nodes) {
      if (node === at) at = at.nextSibling;
      else move(this.parent, node, at);
    }
    this.shown = [...new Set([...this.shown, ...nodes])];
    this.wanted = new Set(nodes);
    // After they are in their places: what moves into a new one would lose the focus outside of the page.
    for (const [place, item] of items.entries()) views[place]?.update(item);
  }

  sweep(): void {
    for (const node of this.shown) {
      if (!this.wanted.has(node) && node.parentNode === this.parent) node.remove();
    }
    this.shown = [...this.wanted];
  }
}

/** A list of its own, whose views are made by `build` and kept by `key`. */
export class KeyedList<Item> {
  private readonly views = new Map<string, View<Item>>();
  private readonly keyed: Keyed<Item>;

  constructor(
    parent: Element,
    private readonly key: (item: Item) => string,
    build: (item: Item) => View<Item>,
  ) {
    this.keyed = new Keyed(parent, (item) => {
      const name = key(item);
      const view = this.views.get(name) ?? build(item);
      this.views.set(name, view);
      return view;
    });
  }

  show(items: readonly Item[]): void {
    this.keyed.arrange(items);
    this.keyed.sweep();
    const names = new Set(items.map((item) => this.key(item)));
    for (const name of this.views.keys()) if (!names.has(name)) this.views.delete(name);
  }
}

/** `moveBefore` moves an element without taking it out, which most browsers have by now. */
type Movable = Element & { moveBefore?: (node: Node, before: Node | null) => void };

/** Moves or inserts an element. The focus within it stays, also where it comes from a part that has only just appeared. */
function move(parent: Movable, node: HTMLElement, before: Node | null): void {
  const focused = node.contains(document.activeElement) ? (document.activeElement as HTMLElement) : null;
  if (node.isConnected && parent.isConnected && parent.moveBefore) parent.moveBefore(node, before);
  else parent.insertBefore(node, before);
  if (focused && document.activeElement !== focused) focused.focus({ preventScroll: true });
}
