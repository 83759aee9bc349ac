/** All incidents that the console knows: those that are not resolved, and those that were resolved lately. */
import type { Incident } from "../shared/api";

/** Time for which a resolved incident stays in the list, in ms, so that it does not vanish while somebody reads it. */
const KEEP_MS = 15 * 60_000;
const KEEP_MAX = 200;

export class Store {
  private readonly known = new Map<string, Incident>();
  private readonly listeners = new Set<() => void>();

  get(id: string): Incident | undefined {
    return this.known.get(id);
  }

  all(): Incident[] {
    return [...this.known.values()];
  }

  /** Takes an incident as it is now. Returns true where it was not known, and is not over. */
  put(incident: Incident): boolean {
    const isNew = !this.known.has(incident.id) && incident.state !== "resolved";
    this.known.set(incident.id, incident);
    this.tell();
    return isNew;
  }

  /**
   * Takes a list of all incidents that are not resolved, except for `touched` ones, of which newer news has come since the
   * list was asked for. Returns the new ones, and the ids of those that are no longer in it.
   */
  replace(unresolved: Incident[], touched: ReadonlySet<string>): { added: Incident[]; vanished: string[] } {
    const listed = new Set(unresolved.map((one) => one.id));
    const vanished = this.all()
      .filter((one) => one.state !== "resolved" && !listed.has(one.id) && !touched.has(one.id))
      .map((one) => one.id);
    const added = unresolved.filter((one) => !touched.has(one.id) && !this.known.has(one.id));
    for (const one of unresolved) if (!touched.has(one.id)) this.known.set(one.id, one);
    this.tell();
    return { added, vanished };
  }

  remove(id: string): void {
    if (this.known.delete(id)) this.tell();
  }

  /** Forgets incidents that were resolved long ago, except the one that is being read. */
  tidy(nowMs: number, reading: string | null): void {
    const over = this.all().filter((one) => one.state === "resolved" && one.id !== reading);
    const age = (one: Incident): number => nowMs - Date.parse(one.resolved?.at ?? one.updated_at);
    over.sort((a, b) => age(a) - age(b));
    const old = over.filter((one, place) => place >= KEEP_MAX || age(one) > KEEP_MS);
    for (const one of old) this.known.delete(one.id);
    if (old.length > 0) this.tell();
  }

  onChange(listener: () => void): void {
    this.listeners.add(listener);
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}
