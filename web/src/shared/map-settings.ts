/** What the operator set that concerns the pages, as the server tells it: the map below the vehicles, and where they report. */

export interface MapSettings {
  version: string;
  style_url: string | null;
  pmtiles: string | null;
  /** UDP port at which a report in clear is taken; null where there is none. */
  udp: number | null;
}

/** What a service sets that cannot tell: nothing. */
const BUNDLED: MapSettings = { version: "", style_url: null, pmtiles: null, udp: null };
/** Pauses between the questions for the settings, in ms. A page without a map is worth less than one with the bundled map. */
const PAUSES_MS = [500, 1_500, 3_000];

/** What the operator set, as `ask` reads it; the bundled map where the server does not tell in some seconds. */
export async function mapSettings(ask: (path: string) => Promise<MapSettings>, pausesMs: readonly number[] = PAUSES_MS): Promise<MapSettings> {
  for (const pause of pausesMs) {
    try {
      return await ask("/map/settings.json");
    } catch {
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  return BUNDLED;
}

export function isBundled({ style_url, pmtiles }: MapSettings): boolean {
  return style_url === null && pmtiles === null;
}
