/** Where the simulated vehicles are: they drive about in twenty cities. */
import type { Vagn } from "../../test/support/vagn";

interface Answer {
  features: { geometry: { coordinates: [number, number] } }[];
}

/** A place where vehicles are, as it is written in a link after the zoom. */
export async function place(vagn: Vagn): Promise<string> {
  const { features } = await vagn.json<Answer>("/api/v1/vehicles?bbox=-180,-90,180,90&limit=1");
  const [lon, lat] = features[0]?.geometry.coordinates ?? [];
  if (lon === undefined || lat === undefined) throw new Error("there is no vehicle");
  return `${lat.toFixed(5)}/${lon.toFixed(5)}`;
}

export function door(vagn: Vagn): string {
  return `127.0.0.1:${vagn.port("udp")}`;
}
