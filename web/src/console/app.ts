/** Puts the console together: what is known, what is shown, what sounds, and what a person does. */
import { Announcer } from "../shared/announce";
import type { Incident, IncidentChange, IncidentWithHistory, Vehicle } from "../shared/api";
import { el, setAttr } from "../shared/dom";
import type { StreamState } from "../shared/events";
import { onSignInWanted, signInAgain, whoAmI } from "../shared/session";
import { strings } from "../shared/strings";
import { act } from "./acts";

import { isCrowd, isWaiting, newOnes, sectionOf } from "./arrange";
import { Banners, bannersFor, type Banner } from "./banners";
import { Bell } from "./bell";
import { ServerClock } from "./clock";
import { Detail } from "./detail";
import { Feed } from "./feed";
import { Header } from "./header";
import { Line } from "./line";
import { List } from "./list";
import { incidentInLink, linkTo } from "./link";
import { MapPane } from "./mappane";
import { Undismissed } from "./missed";
import { Showing } from "./showing";
import { Store } from "./store";
import { startTicker } from "./ticker";
import { Unproven } from "./unproven";
import { changeSentence, missedSentence, newSentence } from "./words";

const words = strings.console;

export class App {
  private readonly clock = new ServerClock();
  private readonly store = new Store();
  private readonly bell = new Bell(() => this.tickView());
  private readonly line = new Line(this.clock, () => this.feed.renew());
  private readonly announcer = new Announcer();
  private readonly now = (): number => this.clock.now();
  private readonly header = new Header({ mute: () => this.toggleMute(), test: () => void this.bell.test() });
  private readonly banners = new Banners((banner) => this.announceBanner(banner));
  private readonly list: List;
  private readonly detail: Detail;
  private readonly map: MapPane;
  private readonly feed: Feed;
  private readonly desk = el("main", { class: "desk" });
  private readonly unproven = new Unproven({
    raised: (incident, said) => this.raised(incident, said),
    news: (said) => this.announcer.say(said),
  });
  private selected: string | null = null;
  private signInWanted = false;
  /** Name of a principal who may not see emergencies. */
  private blind: string | null = null;
  /** The server is asked for emergencies. */
  private begun = false;
  private streamLost: number | null = null;
  private readonly missed = new Undismissed();
  private crowd = false;
  private crowdCount = 0;
  private waiting = 0;
  private readonly showing = new Showing(() => this.show());

  constructor(root: HTMLElement) {
    this.list = new List({
      now: this.now,
      selected: () => this.selected,
      open: (id) => this.open(id),
      acknowledge: (id) => this.acknowledge(id),
    });
    this.map = new MapPane({ open: (id) => this.open(id) });
    this.detail = new Detail({
      now: this.now,
      close: () => this.open(null),
      done: (incident, said) => this.done(incident, said),
      read: (incident) => this.read(incident),
      showIncident: (incident) => this.map.goTo(incident),
      showVehicle: (vehicle) => this.map.goToVehicle(vehicle),
      responders: (vehicles: Vehicle[]) => this.map.showResponders(vehicles),
    });
    this.feed = new Feed(this.store, this.clock, {
      added: (incidents, first) => this.added(incidents, first),
      changed: (change) => this.changed(change),
      stream: (state) => this.stream(state),
      inContact: () => this.line.contact.kind === "held",
      hasTargets: () => (this.line.targets?.targets.length ?? 0) > 0,
      caughtUp: (missed, awayMs) => {
        this.missed.add({ missed, awayMs }, Date.now());
        this.tickView();
      },
    });
    this.build(root);
  }

  start(): void {
    this.store.onChange(() => this.showing.soon());
    onSignInWanted((wanted) => {
      this.signInWanted = wanted;
      this.tickView();
    });
    addEventListener("hashchange", () => this.follow());
    addEventListener("online", () => this.feed.hurry());
    document.addEventListener("keydown", (event) => this.key(event));
    startTicker(() => this.tick());
    this.follow();
    this.tick();
    void this.map.start();
    void whoAmI().then(
      ({ name, role }) => (role === "latest" ? this.beBlind(name) : this.begin()),
      // What is wrong shows by itself.
      () => this.begin(),
    );
  }

  private begin(): void {
    this.begun = true;
    this.feed.start();
    this.tick();
  }

  private beBlind(name: string): void {
    this.blind = name;
    this.tickView();
  }

  private build(root: HTMLElement): void {
    const pane = el("section", { class: "list-pane", id: "list", attrs: { "aria-label": words.title, tabindex: -1 } }, this.list.node);
    this.desk.append(pane, this.map.node, this.detail.node);
    root.append(el("a", { class: "skip", text: words.skip, attrs: { href: "#list" } }));
    root.querySelector(".skip")?.addEventListener("click", (event) => {
      event.preventDefault();
      this.list.focusFirst();
    });
    root.append(this.header.node, this.banners.node, this.unproven.node, this.desk);
    this.announcer.mount(root);
  }

  // ---- Time -----------------------------------------------------------------------------------------------------------

  private tick(): void {
    if (!this.begun) return this.tickView();
    this.line.tick();
    this.unproven.tick(this.now(), this.line.contact.kind === "held");
    const { contact } = this.line;
    if (contact.kind === "lost" && this.line.wasHeard) this.feed.lost(contact.since);
    this.feed.tick();
    this.store.tidy(this.now(), this.selected);
    this.bell.ring(this.waiting, this.line.isLost);
    this.list.tick();
    this.detail.tick();
    this.tickView();
  }

  private tickView(): void {
    const sound = this.bell.state;
    this.header.tick(this.now(), { allowed: sound === "on", mutedFor: this.bell.mutedFor });
    setAttr(document.documentElement, "data-sounds", this.bell.heard);
    const nowMs = Date.now();
    const absence = this.missed.at(nowMs);
    const situation = {
      nowMs,
      contact: this.line.contact,
      wasHeard: this.line.wasHeard,
      signInWanted: this.signInWanted,
      blind: this.blind,
      streamLost: this.streamLost,
      sound,
      targets: this.line.targets,
      crowd: this.crowd ? this.crowdCount : 0,
      missed: absence && missedSentence(absence.missed, absence.awayMs),
    };
    const press = {
      signIn: () => void signInAgain(),
      sound: () => void this.bell.test(),
      missed: () => {
        this.missed.dismiss();
        this.tickView();
      },
    };
    this.banners.show(bannersFor(situation, press));
  }

  // ---- News -----------------------------------------------------------------------------------------------------------

  private added(incidents: Incident[], first: boolean): void {
    const waiting = incidents.filter(isWaiting);
    this.waiting += waiting.length;
    if (waiting.length > 0) {
      this.bell.emergency();
      this.showing.soon(true);
    }
    // Those that ran before the page was opened are no news.
    if (!first && incidents.some((one) => one.test)) this.bell.drill();
    // At once, and not with the next tick: a second may count.
    this.bell.ring(this.waiting, this.line.isLost);
    if (first) this.announcer.say(words.say.atStart(waiting.length));
    else if (waiting.length > 0) this.announcer.alert(newSentence(incidents));
    else this.announcer.say(newSentence(incidents));
  }

  private changed({ change, incident }: IncidentChange): void {
    this.announcer.say(changeSentence(change, incident));
  }

  private stream(state: StreamState): void {
    if (state.kind === "connected") this.streamLost = null;
    else if (state.kind === "lost") this.streamLost ??= Date.now();
  }

  private announceBanner(banner: Banner): void {
    if (banner.weight === "note") this.announcer.say(banner.text);
    else this.announcer.alert(banner.text);
  }

  // ---- View -----------------------------------------------------------------------------------------------------------

  private show(): void {
    const incidents = this.store.all();
    this.crowdCount = newOnes(incidents, this.now());
    this.crowd = isCrowd(this.crowdCount, this.crowd);
    this.waiting = incidents.filter(isWaiting).length;
    const count = (key: string): number => incidents.filter((one) => sectionOf(one) === key).length;
    this.header.counts({ waiting: this.waiting, handled: count("handled"), drills: count("drills") });
    this.list.show(incidents, this.crowd);
    const chosen = this.chosen();
    if (chosen) this.detail.update(chosen);
    this.map.show(incidents, chosen);
    this.tickView();
  }

  private chosen(): Incident | null {
    return this.selected === null ? null : (this.store.get(this.selected) ?? null);
  }

  /** Opens an incident, or none; the address follows, so that it can be sent to somebody. */
  private open(id: string | null): void {
    if (incidentInLink(location.hash) === id) return;
    const before = this.selected;
    history.pushState(null, "", id === null ? location.pathname + location.search : linkTo(id));
    this.follow();
    // Back in the list, at the row one came from.
    if (id === null && !this.list.focus(before)) this.list.focusFirst();
  }

  /** Shows what the address names. */
  private follow(): void {
    const id = incidentInLink(location.hash);
    if (id === this.selected) return;
    this.selected = id;
    setAttr(this.desk, "data-open", id !== null);
    this.map.resize();
    const chosen = this.chosen();
    this.detail.turn(id, chosen);
    this.map.showResponders([]);
    this.map.show(this.store.all(), chosen);
    if (chosen) this.map.goTo(chosen);
    this.list.select();
    if (id !== null) {
      this.list.reveal(id);
      this.detail.focus();
    }
  }

  /** The chosen incident may be one that was resolved long ago. Where another one took it in, that is opened under its own address. */
  private read(incident: IncidentWithHistory): void {
    if (incident.id !== this.selected) {
      history.replaceState(null, "", linkTo(incident.id));
      this.follow();
      return;
    }
    const known = this.store.get(incident.id);
    if (known) return;
    this.map.show(this.store.all(), incident);
    this.map.goTo(incident);
    this.detail.focus();
  }

  private key(event: KeyboardEvent): void {
    const inDialog = document.querySelector("dialog[open]") !== null;
    if (event.key === "Escape" && !inDialog && this.selected !== null) this.open(null);
  }

  // ---- Acts -----------------------------------------------------------------------------------------------------------

  /** Acknowledges from the list; returns the words of a refusal. */
  private async acknowledge(id: string): Promise<string | null> {
    const incident = this.store.get(id);
    if (!incident) return null;
    const done = await act("acknowledge", incident, "", this.now);
    if (done.kind === "done") this.done(done.incident, done.said);
    return done.kind === "refused" ? done.why : null;
  }

  private done(incident: IncidentWithHistory, said: string): void {
    const { ledger: _ledger, trail: _trail, ...plain } = incident;
    this.store.put(plain);
    this.announcer.say(said);
  }

  /** A call without proof has become an emergency, and is the one to look at now. */
  private raised(incident: Incident, said: string): void {
    this.store.put(incident);
    this.announcer.say(said);
    this.open(incident.id);
  }

  private toggleMute(): void {
    this.bell.toggleMute();
    this.tickView();
  }
}
