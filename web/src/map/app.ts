/** The live map at work: keeps selection, filter, theme and link, and tells each part what changed. */
import type { Map as MapLibre } from "maplibre-gl";
import { setHidden, setText } from "../shared/dom";
import { recolour } from "../shared/basemap";
import { boundsOf, type Place } from "../shared/bounds";
import { STREET_ZOOM } from "../shared/open-map";
import { readUnits, writeUnits } from "../shared/preferences";
import { strings } from "../shared/strings";
import { chooseTheme, onTheme, theme, type Theme } from "../shared/theme";
import { CallPlaces } from "./call-places";
import type { Calls } from "./calls";
import type { CallsPanel } from "./calls-panel";
import type { Card } from "./card";
import { Clicks } from "./clicks";
import type { ServerClock } from "./clock";
import { Clusters } from "./clusters";
import type { Contact } from "./contact";
import { Details } from "./details";
import { Fleet, viewOf } from "./fleet/fleet";
import { Names } from "./fleet/names";
import { Grid } from "./grid";
import { isPhone, padding, scaleControl } from "./layout";
import { FILTERS, readLink, writeLink, type Filter, type Link } from "./link";
import type { List } from "./list";
import { looks } from "./look";
import { Marks } from "./marks";
import { Nearest } from "./nearest";
import type { Page } from "./page";
import { PIN_LAYERS, Pins } from "./pins";
import { Selection, type Selected } from "./selection";
import { stackCard } from "./stack";
import { showStatus } from "./status";
import type { UnitSystem } from "../shared/units";

const words = strings.map;
const STATUS_MS = 1_000;

export interface Outside {
  page: Page;
  card: Card;
  list: List;
  calls: Calls;
  callsPanel: CallsPanel;
  contact: Contact;
  clock: ServerClock;
}

export class App {
  units: UnitSystem = readUnits();
  readonly fleet: Fleet;
  private readonly scale = scaleControl(this.units);
  readonly callPlaces: CallPlaces;
  private readonly clusters: Clusters;
  private readonly pins: Pins;
  private readonly marks: Marks;
  private readonly nearest: Nearest;
  private readonly names = new Names();
  private readonly selection: Selection;
  private readonly details: Details;
  private filter: Filter = "all";
  private follows = false;
  private nextCall = 0;
  private written = "";

  constructor(
    readonly map: MapLibre,
    private readonly outside: Outside,
  ) {
    const look = theme();
    map.addControl(this.scale, "bottom-left");
    this.clusters = new Clusters(map, look);
    this.pins = new Pins(map, look);
    this.marks = new Marks(map, look, PIN_LAYERS[0]!);
    const grid = map.getSource("earth") ? new Grid(map, look, "groups-discs") : null;
    this.fleet = new Fleet(map, outside.clock, { look: looks[look], round: (error) => this.round(error) });
    this.fleet.addTo("near-labels");
    this.callPlaces = new CallPlaces(this.fleet, this.names, () => this.pins.show(this.callPlaces.pins()));
    this.selection = new Selection(this.fleet, this.names, outside.clock, (selected) => this.selected(selected));
    this.nearest = new Nearest(outside.card, this.marks, {
      select: (id, place) => void this.select(id, place, true),
      units: () => this.units,
    });
    this.details = new Details({
      follow: () => this.follow(!this.follows),
      goThere: () => this.goThere(),
      copyLink: () => navigator.clipboard.writeText(location.href),
    });
    this.connect(grid);
  }

  /** Shows what a link tells. */
  open(link: Link): void {
    this.setFilter(link.filter);
    if (link.view) this.map.jumpTo({ center: [link.view.lon, link.view.lat], zoom: link.view.zoom });
    if (link.vehicle === null) this.outside.card.close();
    else void this.select(link.vehicle, null, false, link.view === null);
    if (link.list && !this.outside.list.open) this.outside.list.show(false);
  }

  /** Selects by id; flies there if the place is not in view. Returns false where the server says that there is no such vehicle. */
  async select(id: string, place: Place | null, focus: boolean, fly = true): Promise<boolean> {
    const found = this.selection.select(id);
    this.showCard(id, focus);
    if (place && fly) this.showPlace(place);
    const selected = await found;
    if (selected?.place && !place && fly) this.showPlace(selected.place);
    return selected?.gone !== true;
  }

  /** Finds a vehicle by its id as it was typed, or without the blanks around it, which a copy often brings along. */
  async find(typed: string): Promise<void> {
    const { searchNote, search } = this.outside.page;
    const id = typed.trim();
    const known = (id !== typed && (await this.select(typed, null, true))) || (await this.select(id, null, true));
    setHidden(searchNote, known);
    setText(searchNote, known ? "" : words.searchNone(id));
    // Of one that could not be asked for the card says why, and asks again.
    if (known) search.value = "";
    else {
      this.outside.card.close();
      search.focus();
    }
  }

  whole(places: Place[]): void {
    const bounds = boundsOf(places);
    if (!bounds) return;
    this.map.fitBounds([bounds.west, bounds.south, bounds.east, bounds.north], {
      padding: padding(),
      maxZoom: STREET_ZOOM,
      animate: false,
    });
  }

  callsChanged(): void {
    const calls = this.outside.calls.list();
    this.callPlaces.set(calls);
    this.pins.show(this.callPlaces.pins());
  }

  showCall(vehicleId: string, focus: boolean): void {
    void this.select(vehicleId, this.callPlaces.placeOf(vehicleId), focus);
  }

  /** Goes to the next open call; real ones come first. */
  toNextCall(): void {
    const calls = this.outside.calls.list();
    const call = calls[this.nextCall % Math.max(1, calls.length)];
    this.nextCall += 1;
    if (call) this.showCall(call.vehicle_id, true);
  }

  nearestToMiddle(): void {
    const { lng, lat } = this.map.getCenter().wrap();
    void this.nearest.show([lng, lat], true);
  }

  follow(on: boolean): void {
    this.follows = on && this.selection.id !== null;
    if (this.follows) this.goThere();
    this.showDetails();
  }

  toggleFollow(): void {
    this.follow(!this.follows);
  }

  setUnits(units: UnitSystem): void {
    this.units = units;
    writeUnits(units);
    this.scale.setUnit(units);
    this.showDetails();
    this.outside.list.hurry();
  }

  setFilter(filter: Filter): void {
    this.filter = filter;
    this.fleet.filter = FILTERS.indexOf(filter);
    this.outside.list.setFilter(filter);
    this.map.triggerRepaint();
    this.writeLink();
  }

  toggleTheme(): void {
    chooseTheme(theme() === "dark" ? "light" : "dark");
  }

  writeLink(): void {
    const center = this.map.getCenter().wrap();
    const view = { zoom: this.map.getZoom(), lat: center.lat, lon: center.lng };
    const link = writeLink({ view, vehicle: this.selection.id, filter: this.filter, list: this.outside.list.open });
    // Browsers count writes of the address, and refuse too many.
    if (link === location.hash) return;
    this.written = link;
    history.replaceState(null, "", this.written);
  }

  private connect(grid: Grid | null): void {
    this.clusters.onRead((error) => !this.fleet.single && this.outside.contact.tiles(error));
    new Clicks(this.map, this.fleet, this.names, {
      vehicle: ({ id, drawn }) => void this.selectDrawn(id, drawn.key, [drawn.lon, drawn.lat]),
      stack: (stack) => {
        const card = stackCard(
          stack,
          this.units,
          this.outside.clock.server(),
          ({ id, drawn }) => void this.selectDrawn(id, drawn.key, [drawn.lon, drawn.lat]),
        );
        this.outside.card.show(card, false);
      },
      pins: (ids) => (ids.length === 1 ? this.showCall(ids[0]!, false) : this.outside.callsPanel.open(false)),
      ground: (place) => void this.nearest.show(place, false),
    });
    this.map.on("moveend", () => {
      this.writeLink();
      this.outside.list.hurry();
    });
    this.map.on("dragstart", () => this.follow(false));
    addEventListener("hashchange", () => location.hash !== this.written && this.open(readLink(location.hash)));
    document.addEventListener("visibilitychange", () => this.tick());
    onTheme((look) => this.recolour(look, grid));
    setInterval(() => this.tick(), STATUS_MS);
  }

  private async selectDrawn(id: string, key: number, place: Place): Promise<void> {
    const found = this.selection.select(id, { key, place });
    this.showCard(id, false);
    await found;
  }

  private showCard(id: string, focus: boolean): void {
    const { card } = this.outside;
    const body = this.details.node;
    // The card of another vehicle in its place must not deselect that one.
    const closed = () => card.shown?.body !== body && this.deselect();
    card.show({ title: id, kicker: words.vehicle, body, closed }, focus);
  }

  private deselect(): void {
    this.follows = false;
    this.selection.clear();
  }

  private selected(selected: Selected | null): void {
    this.marks.ring(selected?.place ?? null);
    this.marks.trail(selected?.trail ?? []);
    if (selected?.place && this.follows) this.glide(selected.place);
    this.showDetails(selected);
    this.writeLink();
  }

  private last: Selected | null = null;

  private showDetails(selected: Selected | null = this.last): void {
    this.last = selected;
    if (!selected) return;
    const calls = this.outside.calls.list().filter((one) => one.vehicle_id === selected.id);
    const tag = calls.length === 0 ? null : calls.some((one) => !one.test) ? "call" : "drill";
    this.details.show(selected, tag, this.follows, this.units, this.outside.clock.server());
  }

  private goThere(): void {
    if (this.last?.place) this.showPlace(this.last.place);
  }

  private showPlace(place: Place): void {
    const zoom = Math.max(this.map.getZoom(), STREET_ZOOM);
    this.map.easeTo({ center: [place[0], place[1]], zoom, offset: this.middle(), duration: 700 });
  }

  /** The middle of what the panels leave free, from the middle of the page, in pixels. */
  private middle(): [number, number] {
    const { card, list } = this.outside;
    if (isPhone()) return [0, card.shown || list.open ? -innerHeight * 0.22 : 0];
    return [((card.shown ? card.node.offsetWidth : 0) - (list.open ? list.node.offsetWidth : 0)) / 2, 0];
  }

  private glide(place: Place): void {
    this.map.easeTo({ center: [place[0], place[1]], offset: this.middle(), duration: 900, easing: (part) => part });
  }

  private round(error: unknown): void {
    this.outside.contact.tiles(error);
    this.clusters.setCrowded(this.fleet.crowded);
    this.selection.refresh();
    this.callPlaces.refresh();
  }

  private tick(): void {
    if (document.hidden) return;
    this.clusters.refresh(this.fleet.crowded);
    showStatus(this.outside.page.status, this.fleet, this.clusters, this.outside.contact, this.filter);
    this.showDetails();
    this.outside.callsPanel.tick();
  }

  private recolour(look: Theme, grid: Grid | null): void {
    recolour(this.map, look);
    this.clusters.recolour(look);
    this.pins.recolour(look);
    this.marks.recolour(look);
    grid?.recolour(look);
    this.fleet.look = looks[look];
    this.map.triggerRepaint();
  }

  /** The view, for the list. */
  view() {
    return viewOf(this.map);
  }
}
