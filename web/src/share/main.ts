/** The page behind a link to one vehicle: its place while the link lasts, and nothing else of the fleet. */
import "../shared/theme.css";
import "./share.css";
import { mapSettings, type MapSettings } from "../shared/map-settings";
import { el, setHidden, setText } from "../shared/dom";
import { EventStream } from "../shared/events";
import { requestOpenly } from "../shared/session";
import { strings } from "../shared/strings";
import { onTheme, theme } from "../shared/theme";
import { ago, bothTimes, localTime } from "../shared/time";
import { heading, place } from "../shared/units";
import { openMap } from "../shared/open-map";
import { SharedMap } from "./shared-map";
import { Track } from "./track";

const words = strings.share;
const TICK_MS = 1_000;
/** The server is silent for at most 15 s. A connection that is back within this time, in ms, is not worth a word. */
const PATIENCE_MS = 2_000;
const NOWHERE = { zoom: 1.6, lat: 25, lon: 10 };

function start(): void {
  document.title = words.pageTitle;
  const track = new Track();
  const since = el("p", { class: "share-age", text: words.waiting });
  const about = el("p", { class: "share-about" });
  const notice = el("div", { class: "share-notice", hidden: true, attrs: { role: "status" } });
  const follow = el("button", { class: "share-follow", hidden: true, text: words.follow, attrs: { type: "button" } });
  const canvas = el("div", { id: "map", class: "share-map" });
  const card = el("section", { class: "share-card", attrs: { "aria-label": words.title } }, since, about, follow);
  document.body.append(el("main", {}, el("h1", { class: "unseen", text: words.title }), canvas, card, notice));
  let map: SharedMap | null = null;
  let lostSince: number | null = null;
  let over = false;

  const stream = new EventStream(
    `${location.pathname.replace(/\/+$/, "")}/events`,
    {
      event: ({ event, data }) => {
        if (event === "ended") end();
        if (event !== "position" || !track.take(data)) return;
        map?.show(track);
        show();
      },
      state: (state) => {
        if (state.kind === "refused" && state.status === 404) end();
        if (state.kind === "connected") lostSince = null;
        if (state.kind === "lost") lostSince ??= state.since;
        show();
      },
    },
    { ask: requestOpenly },
  );

  /** Takes the place away, and does not ask again. */
  function end(): void {
    over = true;
    stream.stop();
    track.clear();
    map?.show(track);
    show();
  }

  function show(): void {
    const { last } = track;
    setHidden(card, over);
    setText(since, last ? words.live(ago(Math.max(0, Date.now() - last.timeMs) / 1_000)) : words.waiting);
    const parts = last ? [place(last.lat, last.lon), bothTimes(last.timeMs)] : [];
    if (last && last.headingDeg !== null) parts.push(words.heading(heading(last.headingDeg)));
    setText(about, parts.join(" · "));
    setHidden(follow, map?.follows !== false || !last);
    const lost = !over && lostSince !== null && Date.now() - lostSince > PATIENCE_MS;
    const said = over ? [words.ended, words.endedWhy] : lost ? [words.lost(localTime(lostSince!))] : [];
    if (notice.textContent !== said.join("")) notice.replaceChildren(...said.map((text) => el("p", { text })));
    setHidden(notice, said.length === 0);
    notice.classList.toggle("over", over);
  }

  async function open(): Promise<void> {
    try {
      const settings = await mapSettings(async (path) => (await (await requestOpenly(path)).json()) as MapSettings);
      map = new SharedMap(await openMap(canvas, settings, theme(), { start: NOWHERE, label: words.mapLabel }), theme(), show);
      map.show(track);
      onTheme((look) => map?.recolour(look));
      follow.addEventListener("click", () => map?.follow());
    } catch {
      canvas.replaceChildren(el("p", { class: "share-no-map", text: words.noWebGl }));
    }
    show();
  }

  addEventListener("online", () => stream.hurry());
  setInterval(show, TICK_MS);
  stream.start();
  void open();
}

start();
