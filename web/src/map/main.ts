/** The live map: starts its parts and connects them. */
import "../shared/theme.css";
import "./panels.css";
import "./map.css";
import { readJson, whoAmI } from "../shared/session";
import { whoLine } from "../shared/who";
import { boundsOf, type Place, type View } from "../shared/bounds";
import { mapSettings } from "../shared/map-settings";
import { openMap } from "../shared/open-map";
import { strings } from "../shared/strings";
import { theme } from "../shared/theme";
import type { Map as MapLibre } from "maplibre-gl";
import { setHidden, setText } from "../shared/dom";
import { App } from "./app";
import { Calls } from "./calls";
import { CallsPanel } from "./calls-panel";
import { Card } from "./card";
import { ServerClock } from "./clock";
import { Contact } from "./contact";
import { Empty } from "./empty";
import { showHelp } from "./help";
import { Keys } from "./keys";
import { isPhone, padding } from "./layout";
import { readLink } from "./link";
import { List } from "./list";
import { buildPage } from "./page";

const words = strings.map;
const WORLD = { west: -180, south: -90, east: 180, north: 90 };
/** Longest wait for the place of the fleet, in ms, before the whole Earth is shown. */
const FLEET_WAIT_MS = 1_000;
const START: View = { zoom: 1.6, lat: 25, lon: 10 };

function start(): void {
  document.title = words.pageTitle(0);
  let app: App | null = null;
  const clock = new ServerClock();
  const card = new Card(() => isPhone() && list.open && list.close());
  const contact = new Contact({ lost: () => calls.noteMissed(), back: () => calls.takeMissed() });
  const empty = new Empty();
  const list = new List({
    view: () => app?.view() ?? WORLD,
    units: () => app?.units ?? "metric",
    select: (id, place) => void app?.select(id, place, true),
    filter: (filter) => app?.setFilter(filter),
    closed: () => app?.writeLink(),
  });
  const callsPanel = new CallsPanel(
    card,
    (call) => app?.showCall(call.vehicle_id, true),
    () => clock.server(),
  );
  const calls = new Calls({
    // Also where there is no map.
    changed: () => (callsPanel.show(calls.list()), app?.callsChanged()),
    raised: ({ vehicle_id, test }) => callsPanel.say(test ? words.drillNew(vehicle_id) : words.callNew(vehicle_id), !test),
    resolved: ({ vehicle_id }) => callsPanel.say(words.callGone(vehicle_id), false),
    contact: (state) => contact.stream(state),
    refused: approximate,
  });
  const toggleList = () => {
    if (isPhone()) card.close();
    if (list.open) list.close();
    else list.show(true);
    app?.writeLink();
  };
  const whole = () => void empty.fleet((time) => clock.observe(time)).then((places) => app?.whole(places));
  const help = () =>
    showHelp({
      units: () => app?.units ?? "metric",
      setUnits: (units) => app?.setUnits(units),
      keysOn: () => keys.on,
      setKeysOn: (on) => (keys.on = on),
    });
  const page = buildPage(
    {
      card: card.node,
      list: list.node,
      calls: callsPanel.button,
      voices: callsPanel.voices,
      contact: contact.node,
      empty: empty.node,
      who: whoLine(),
    },
    {
      find: (id) => void app?.find(id),
      zoom: (by) => app?.map.easeTo({ zoom: app.map.getZoom() + by, duration: 250 }),
      whole,
      list: toggleList,
      help,
    },
  );
  const keys = new Keys(
    {
      "/": () => page.search.focus(),
      l: toggleList,
      n: () => app?.nearestToMiddle(),
      f: () => app?.toggleFollow(),
      e: () => app?.toNextCall(),
      w: whole,
      d: () => app?.toggleTheme(),
      u: () => app?.setUnits(app.units === "metric" ? "imperial" : "metric"),
      "?": help,
    },
    () => (card.shown ? card.close() : list.open && list.close()),
  );
  void whoAmI().then(
    ({ role }) => (role === "latest" ? approximate() : calls.start()),
    // The contact says what is wrong.
    () => calls.start(),
  );
  const link = readLink(location.hash);
  const places = empty.fleet((time) => clock.observe(time));
  void open();

  /** Takes away what this principal cannot see. */
  function approximate(): void {
    setHidden(callsPanel.button, true);
    setHidden(page.approximate, false);
    list.leaveOutMovement();
  }

  async function open(): Promise<void> {
    const settings = await mapSettings(readJson);
    empty.takeReports(settings.udp);
    // A view that jumps right after the start would load everything twice.
    const early = link.view ? [] : await Promise.race([places, soon()]);
    const box = boundsOf(early);
    const bounds = box && { box, padding: padding() };
    let map: MapLibre;
    try {
      map = await openMap(page.map, settings, theme(), { start: link.view ?? START, bounds });
    } catch {
      setText(page.status, words.noWebGl);
      list.show(false);
      return;
    }
    app = new App(map, { page, card, list, calls, callsPanel, contact, clock });
    app.callsChanged();
    app.open(link);
    // What tests and measurements read; nothing on the page needs it.
    Object.assign(window, { vagn: { map, drawn: () => [...app!.fleet.drawn()], updates: app.fleet.updates } });
    if (link.view || link.vehicle !== null || early.length > 0) return;
    app.whole(await places);
  }
}

function soon(): Promise<Place[]> {
  return new Promise((resolve) => setTimeout(() => resolve([]), FLEET_WAIT_MS));
}

start();
