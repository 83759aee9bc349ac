/** The live map: starts its parts and connects them. */
import "../shared/theme.css";
import { readJson } from "../shared/session";
import { theme } from "../shared/theme";
import type { MapSettings } from "../shared/basemap";
import { ServerClock } from "./clock";
import { Clusters } from "./clusters";
import { Fleet } from "./fleet/fleet";
import { openMap } from "./view";
const host = document.createElement("div"); host.id = "map"; host.style.cssText = "position:fixed;inset:0"; document.body.append(host);
const settings = await readJson<MapSettings>("/map/settings.json");
const h = location.hash.slice(1).split("/").map(Number);
const map = await openMap(host, settings, theme(), { zoom: h[0] || 2, lat: h[1] || 30, lon: h[2] || -90 });
const clusters = new Clusters(map, theme());
const fleet = new Fleet(map, new ServerClock(), { look: { body: [[.18,.37,.53,1],[.7,.12,.1,1],[.36,.27,.66,1],[.05,.5,.6,1]], rim: [1,1,1,1] }, round: (e) => e && console.error(e) });
fleet.addTo("groups-near-discs");
setInterval(() => clusters.refresh(fleet.crowded), 1000);
(window as unknown as Record<string, unknown>)["vagn"] = { drawn: () => [...fleet.drawn()], map, updates: fleet.updates };
