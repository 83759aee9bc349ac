/** The line at the foot of the map: how live it is, how much is in view, how far the drawing is behind. */
import { setText } from "../shared/dom";
import { strings } from "../shared/strings";
import { span } from "../shared/time";
import type { Clusters } from "./clusters";
import type { Contact } from "./contact";
import type { Fleet } from "./fleet/fleet";
import type { Filter } from "./link";

const words = strings.map;

export function showStatus(node: HTMLElement, fleet: Fleet, clusters: Clusters, contact: Contact, filter: Filter): void {
  const parts: string[] = [contact.lost ? words.waiting : contact.refused ? words.notLive : words.live];
  const { count, behindMs } = fleet.single ? fleet.summary() : { count: 0, behindMs: 0 };
  const grouped = !fleet.single || fleet.crowded;
  parts.push(words.vehicles(count + (grouped ? clusters.count() : 0)));
  const seconds = Math.ceil(behindMs / 1000);
  if (seconds > 0) parts.push(words.behind(span(seconds)));
  if (filter !== "all") parts.push(grouped ? words.filterNote : words.filterOnly(words.filters[filter]));
  node.classList.toggle("lost", contact.lost || contact.refused);
  setText(node, parts.join(" · "));
}
