/** The list of incidents: four parts in fixed order, rows that keep their elements, and movement by keys. */
import type { Incident } from "../shared/api";
import { el, setHidden, setText } from "../shared/dom";
import { strings } from "../shared/strings";
import { arrange, numbered, type Group, type Section, type SectionKey } from "./arrange";
import { Keyed, type View } from "./keyed";
import { Row, type RowContext } from "./row";

const words = strings.console;
const ORDER: SectionKey[] = ["waiting", "handled", "drills", "resolved"];

export class List {
  readonly node = el("div", { class: "list" });
  private readonly rows = new Map<string, Row>();
  private readonly parts: Record<SectionKey, Part>;
  private readonly empty = el("p", { class: "list-empty", text: words.empty.loading });

  constructor(private readonly context: RowContext) {
    const part = (key: SectionKey): Part => new Part(key, (incident) => this.row(incident));
    this.parts = { waiting: part("waiting"), handled: part("handled"), drills: part("drills"), resolved: part("resolved") };
    this.parts.waiting.node.append(this.empty);
    this.node.append(...ORDER.map((key) => this.parts[key].node));
    this.node.append(el("p", { class: "list-keys", text: words.keys }));
    this.node.addEventListener("keydown", (event) => this.key(event));
  }

  show(incidents: Incident[], crowd: boolean): void {
    const sections = arrange(incidents, crowd);
    for (const section of sections) this.parts[section.key].arrange(section);
    for (const section of sections) this.parts[section.key].sweep();
    const ids = new Set(incidents.map((one) => one.id));
    for (const id of this.rows.keys()) if (!ids.has(id)) this.rows.delete(id);
    const waiting = sections.find((one) => one.key === "waiting")?.count ?? 0;
    setText(this.empty, words.empty.waiting);
    setHidden(this.empty, waiting > 0);
  }

  /** Lets the clocks run. */
  tick(): void {
    for (const row of this.rows.values()) row.tick();
  }

  select(): void {
    for (const row of this.rows.values()) row.select();
  }

  /** Puts the focus on the row of an incident; returns false where it has none. */
  focus(id: string | null): boolean {
    const row = id === null ? undefined : this.rows.get(id);
    row?.openButton.focus();
    return row !== undefined;
  }

  focusFirst(): void {
    this.inOrder()[0]?.openButton.focus();
  }

  reveal(id: string): void {
    this.rows.get(id)?.node.scrollIntoView({ block: "nearest" });
  }

  private row(incident: Incident): Row {
    const row = this.rows.get(incident.id) ?? new Row(incident, this.context);
    this.rows.set(incident.id, row);
    return row;
  }

  private inOrder(): Row[] {
    const nodes = [...this.node.querySelectorAll<HTMLElement>(".row")];
    return nodes.map((node) => this.rows.get(node.dataset["id"] ?? "")).filter((row) => row !== undefined);
  }

  private key(event: KeyboardEvent): void {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const node = (event.target as Element).closest<HTMLElement>(".row");
    const row = node ? this.rows.get(node.dataset["id"] ?? "") : undefined;
    if (!row) return;
    if (event.key === "a" || event.key === "A") {
      event.preventDefault();
      if (!event.repeat) void row.acknowledge();
      return;
    }
    const next = this.neighbour(row, event.key);
    if (!next) return;
    event.preventDefault();
    next.openButton.focus();
  }

  private neighbour(row: Row, key: string): Row | undefined {
    const rows = this.inOrder();
    const at = rows.indexOf(row);
    if (key === "ArrowDown") return rows[at + 1];
    if (key === "ArrowUp") return rows[at - 1];
    if (key === "Home") return rows[0];
    return key === "End" ? rows.at(-1) : undefined;
  }
}

/** One of the four parts, with its heading. */
class Part {
  readonly node: HTMLElement;
  private readonly count = el("span", { class: "part-count" });
  private readonly groups = el("div", { class: "groups" });
  private readonly views = new Map<string, GroupView>();
  private readonly keyed: Keyed<Group>;

  constructor(
    private readonly key: SectionKey,
    row: (incident: Incident) => Row,
  ) {
    const id = `part-${key}`;
    const note = words.sectionNote[key];
    const heading = el("h2", { id }, words.section[key], " ", this.count);
    this.node = el("section", { class: `part part-${key}`, hidden: key !== "waiting", attrs: { "aria-labelledby": id } }, heading);
    if (note !== "") this.node.append(el("p", { class: "part-note", text: note }));
    this.node.append(this.groups);
    this.keyed = new Keyed(this.groups, (group) => {
      const view = this.views.get(group.key) ?? new GroupView(row);
      this.views.set(group.key, view);
      return view;
    });
  }

  arrange(section: Section): void {
    setText(this.count, String(section.count));
    setHidden(this.node, section.count === 0 && this.key !== "waiting");
    this.keyed.arrange(section.groups);
    const keys = new Set(section.groups.map((group) => group.key));
    for (const [key, view] of this.views) if (!keys.has(key)) view.clear();
  }

  sweep(): void {
    for (const [key, view] of this.views) {
      view.sweep();
      if (view.isOver) this.views.delete(key);
    }
    this.keyed.sweep();
  }
}

class GroupView implements View<Group> {
  readonly node: HTMLElement;
  isOver = false;
  private readonly title = el("h3", { hidden: true });
  private readonly rows = el("ul", { class: "rows" });
  private readonly keyed: Keyed<Incident>;

  constructor(private readonly row: (incident: Incident) => Row) {
    this.node = el("div", { class: "group" }, this.title, this.rows);
    this.keyed = new Keyed(this.rows, row);
  }

  update(group: Group): void {
    this.isOver = false;
    setHidden(this.title, group.area === undefined);
    setText(this.title, groupTitle(group));
    this.keyed.arrange(group.incidents);
    this.number(group);
  }

  /** Numbers the emergencies of a vehicle that has several here. */
  private number(group: Group): void {
    for (const { incident, number, total } of numbered(group)) this.row(incident).among(number, total);
  }

  /** Lets go of all rows, which may have gone to other groups already. */
  clear(): void {
    this.isOver = true;
    this.keyed.arrange([]);
  }

  sweep(): void {
    this.keyed.sweep();
  }
}

function groupTitle({ area, incidents, vehicles }: Group): string {
  if (area === undefined) return "";
  if (area === null) return words.areaUnknown(incidents.length, vehicles);
  return words.area(`${area.lat.toFixed(2)}, ${area.lon.toFixed(2)}`, incidents.length, vehicles);
}
