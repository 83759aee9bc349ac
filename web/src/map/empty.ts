/** What to do while there is no vehicle yet, and where the fleet is as soon as there is one. */
import { vehiclesIn } from "../shared/api";
import { el } from "../shared/dom";
import { strings } from "../shared/strings";
import type { Place } from "../shared/bounds";
import { whereabouts } from "./whereabouts";

const words = strings.map;
const AGAIN_MS = 2_000;
/** Vehicles of a fleet whose places are read one by one. */
const SAMPLE = 1_000;
const WORLD = { west: -180, south: -90, east: 180, north: 90 };

/** The report of the README, whose bytes are msgpack. */
const udp = (port: number): string =>
  `echo 'hKJJRNkkNGUwOTEzOTYtNjJhZS00ZjNiLTg3MTUtN2I0ZmM5YzY0ZDE0o0xvbsvAU1R+Qxkx1qNMYXTLwEI9Ghs6ciCpRW1lcmdlbmN5wg==' |\n  base64 -d | nc -u -w1 ${location.hostname.replace(/[[\]]/g, "")} ${port}`;

export class Empty {
  readonly node: HTMLElement;
  /** The line in netcat, where a report in clear is taken. */
  private readonly datagram = el("div", { class: "datagram", hidden: true });

  constructor() {
    this.node = el(
      "section",
      { class: "empty", hidden: true, attrs: { "aria-labelledby": "empty-title" } },
      el("h2", { id: "empty-title", text: words.emptyTitle }),
      el("p", { text: words.emptyText }),
      this.datagram,
      command(http()),
      el("p", { class: "soft", text: words.emptyDemo }),
    );
  }

  /** Names the UDP port at which a report is taken. */
  takeReports(port: number | null): void {
    if (port === null) return;
    this.datagram.append(command(udp(port)), el("p", { text: words.emptyUdp(port) }));
    this.datagram.hidden = false;
  }

  /** Places between which the whole fleet lies, as soon as there is one; meanwhile the page says what to do. */
  async fleet(now: (serverMs: number) => void): Promise<Place[]> {
    for (;;) {
      const answer = await vehiclesIn(WORLD, SAMPLE).catch(() => null);
      if (answer) now(Date.parse(answer.time));
      if (answer && answer.features.length > 0) {
        this.node.hidden = true;
        const sample = answer.features.map((one) => one.geometry.coordinates);
        const groups = answer.truncated ? await whereabouts().catch(() => []) : [];
        return groups.length > 0 ? groups : sample;
      }
      // Of a part nobody knows whether the fleet is empty.
      this.node.hidden = answer === null || answer.partial === true;
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

function http(): string {
  return `curl -k ${location.origin}/api/v1/positions -H 'Content-Type: application/json' \\\n  -d '{"ID":"bus 7","Lat":59.33,"Lon":18.06}'`;
}

function command(text: string): HTMLElement {
  const copy = el("button", { text: words.copy, attrs: { type: "button" } });
  copy.addEventListener("click", () => void navigator.clipboard.writeText(text).then(() => (copy.textContent = words.copied)));
  return el("div", { class: "command" }, el("pre", { text, attrs: { tabindex: 0 } }), copy);
}
