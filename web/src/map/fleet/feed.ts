/**
 * Asks for the binary tiles of the view once a second, and only while the page is seen.
 *
 * A round begins a second after the one before, or when that has ended: a slow network makes it slow, not full. A tile that did not
 * change costs an answer without content, and nothing on this side.
 */
import { request } from "../../shared/session";
import { nameOf, type Kept, type TileId } from "./cover";
import { readTile, type Tile } from "./record";

const ROUND_MS = 1_000;
/** Longest wait for a tile, in ms. */
const TILE_LIMIT_MS = 10_000;
/** Requests at a time; a browser sends no more over HTTP/1.1. */
const AT_A_TIME = 6;
/** Tiles out of view are kept this long, in ms, for those who come back. */
const KEEP_MS = 30_000;

interface Entry {
  etag: string | null;
  /** False until the first answer. */
  loaded: boolean;
  /** Time of the last answer. */
  heardAt: number;
  /** Answered since it came into view: what it holds from an earlier time is old. */
  current: boolean;
  wantedAt: number;
}


export interface FeedHandlers {
  /** Content of a tile is another one; `null` where it is empty. */
  changed(name: string, tile: Tile | null): void;
  /** The tile, which had been out of view, is up to date again. */
  current(name: string): void;
  /** The tile is not kept any more. */
  dropped(name: string): void;
  /** A round has ended, `error` where a request of it failed. */
  round(error: unknown): void;
}

export class Feed {
  private readonly entries = new Map<string, Entry>();
  private needed: string[] = [];
  private running = false;
  private timer: ReturnType<typeof setTimeout> | null = null;

  constructor(private readonly handlers: FeedHandlers) {
    document.addEventListener("visibilitychange", () => this.hurry());
  }

  /** Names the tiles of the view; new ones are asked for at once. */
  want(tiles: TileId[]): void {
    const before = new Set(this.needed);
    this.needed = [...new Set(tiles.map(nameOf))];
    const now = performance.now();
    let missing = false;
    for (const name of this.needed) {
      const entry = this.entries.get(name) ?? { etag: null, loaded: false, heardAt: 0, current: false, wantedAt: now };
      this.entries.set(name, entry);
      entry.wantedAt = now;
      if (!before.has(name)) entry.current = false;
      missing ||= !entry.current;
    }
    if (missing) this.hurry();
  }

  /** How the tile is here; `null` where no answer has come yet. */
  kept(tile: TileId): Kept | null {
    const entry = this.entries.get(nameOf(tile));
    return entry?.loaded ? entry : null;
  }

  /** Begins the next round now. */
  hurry(): void {
    if (this.running) return;
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    if (!document.hidden && this.needed.length > 0) void this.round();
  }

  private async round(): Promise<void> {
    this.running = true;
    const began = performance.now();
    const names = this.stalestFirst();
    let error: unknown = null;
    const worker = async () => {
      for (let name = names.shift(); name !== undefined; name = names.shift()) {
        if (!this.needed.includes(name)) continue;
        await this.load(name).catch((fault: unknown) => {
          error = fault;
          // The rest would fail alike.
          names.length = 0;
        });
      }
    };
    await Promise.all(Array.from({ length: AT_A_TIME }, worker));
    this.forget();
    this.running = false;
    this.handlers.round(error);
    const fresh = this.needed.some((name) => !this.entries.get(name)?.current) && error === null;
    this.timer = setTimeout(() => this.hurry(), fresh ? 0 : Math.max(50, ROUND_MS - (performance.now() - began)));
  }

  private stalestFirst(): string[] {
    const isCurrent = (name: string) => Number(this.entries.get(name)?.current ?? false);
    return [...this.needed].sort((one, other) => isCurrent(one) - isCurrent(other));
  }

  private async load(name: string): Promise<void> {
    const entry = this.entries.get(name);
    if (!entry) return;
    const response = await ask(`/tiles/${name}.bin`, entry.etag);
    const isSame = response.status === 304;
    const bytes = isSame || response.status === 204 ? null : await response.arrayBuffer();
    const isEmpty = bytes === null && entry.loaded && entry.etag === null;
    const wasCurrent = entry.current;
    if (!isSame) entry.etag = bytes === null ? null : response.headers.get("etag");
    // Where it has left the view meanwhile, it is old again as soon as it comes back.
    Object.assign(entry, { loaded: true, current: true, heardAt: performance.now() });
    if (!isSame && !isEmpty) this.handlers.changed(name, bytes && readTile(bytes));
    if (!wasCurrent) this.handlers.current(name);
  }

  private forget(): void {
    const now = performance.now();
    const needed = new Set(this.needed);
    for (const [name, entry] of this.entries) {
      if (needed.has(name)) entry.wantedAt = now;
      else if (now - entry.wantedAt > KEEP_MS) {
        this.entries.delete(name);
        this.handlers.dropped(name);
      }
    }
  }
}

/** Asks with the tag of what is here already; a refusal goes the common way, which leads to the sign-in. */
async function ask(path: string, etag: string | null): Promise<Response> {
  const headers: Record<string, string> = etag === null ? {} : { "If-None-Match": etag };
  const response = await fetch(path, { headers, cache: "no-store", signal: AbortSignal.timeout(TILE_LIMIT_MS) });
  return response.ok || response.status === 304 ? response : request(path, { limitMs: TILE_LIMIT_MS });
}
