/** What a person can do to the incident that is open: a note, four buttons, and the answer in words. */
import type { Incident, IncidentWithHistory } from "../shared/api";
import { el, setAttr, setHidden, setText } from "../shared/dom";
import { knownWho, mayAct, mayDecide } from "../shared/session";
import { strings } from "../shared/strings";
import { act, type Act } from "./acts";

const words = strings.console.act;
/** As the server limits it. */
const NOTE_MAX = 1_000;

export interface ActionsContext {
  now: () => number;
  done: (incident: IncidentWithHistory, said: string) => void;
}

export class Actions {
  readonly node: HTMLElement;
  private readonly note = el("textarea", {
    id: "act-note",
    attrs: { rows: 2, maxlength: NOTE_MAX, placeholder: words.notePlaceholder },
  });
  private readonly noteLabel = el("label", { text: words.note, attrs: { for: "act-note" } });
  /** Reason that something is not offered. */
  private readonly limit = el("p", { class: "soft", hidden: true });
  private readonly buttons: Record<Act, HTMLButtonElement>;
  private readonly answer = el("p", { class: "act-answer", hidden: true });
  private incident: Incident | null = null;
  private busy = false;
  /** Drafts of notes by incident, so that a look at another one loses no word. */
  private readonly drafts = new Map<string, string>();

  constructor(private readonly context: ActionsContext) {
    const button = (what: Act, extra = ""): HTMLButtonElement =>
      el("button", { class: `act-${what} ${extra}`, text: words[what], attrs: { type: "button" }, on: { click: () => void this.press(what) } });
    this.buttons = { acknowledge: button("acknowledge", "primary"), comment: button("comment"), resolve: button("resolve"), replay: button("replay") };
    this.node = el(
      "section",
      { class: "act-part", attrs: { "aria-label": words.heading } },
      this.noteLabel,
      this.note,
      el("div", { class: "act-buttons" }, ...Object.values(this.buttons)),
      this.limit,
      // One element for both kinds of answer: an alert, since a refusal must not be missed.
      el("div", { attrs: { role: "alert" } }, this.answer),
    );
  }

  update(incident: Incident): void {
    if (incident.id !== this.incident?.id) this.change(incident);
    this.incident = incident;
    const over = incident.state === "resolved";
    const who = knownWho();
    const [acts, decides] = [mayAct(who), mayDecide(who)];
    this.offer("acknowledge", decides && !over && !incident.acknowledged);
    this.offer("resolve", decides && !over);
    this.offer("replay", acts && !over && incident.call.targets.some((one) => one.status === "dead_letter"));
    for (const node of [this.note, this.noteLabel, this.buttons.comment]) setHidden(node, !acts);
    setHidden(this.limit, decides);
    if (who !== null) setText(this.limit, acts ? words.noPerson(who.name) : words.mayLook(who.name));
  }

  private change(incident: Incident): void {
    if (this.incident) this.drafts.set(this.incident.id, this.note.value);
    this.note.value = this.drafts.get(incident.id) ?? "";
    this.drafts.delete(incident.id);
    setHidden(this.answer, true);
  }

  private offer(what: Act, offered: boolean): void {
    const button = this.buttons[what];
    // A button that goes must not take the focus with it.
    if (!offered && document.activeElement === button) this.buttons.comment.focus({ preventScroll: true });
    setHidden(button, !offered);
  }

  private async press(what: Act): Promise<void> {
    const { incident } = this;
    const note = this.note.value.trim();
    if (!incident || this.busy) return;
    if (what === "comment" && note === "") {
      this.say(words.commentEmpty, true);
      this.note.focus();
      return;
    }
    const said = what === "resolve" ? await confirmResolve(incident, note) : note;
    if (said === null) return;
    await this.send(what, incident, said);
  }

  private async send(what: Act, incident: Incident, note: string): Promise<void> {
    this.busy = true;
    setAttr(this.buttons[what], "aria-busy", "true");
    this.say(words.working, false);
    const done = await act(what, incident, note, this.context.now);
    this.busy = false;
    setAttr(this.buttons[what], "aria-busy", null);
    const here = this.incident?.id === incident.id;
    if (done.kind === "done") {
      this.context.done(done.incident, done.said);
      this.drafts.delete(incident.id);
      if (here) this.note.value = "";
    }
    if (!here) return;
    if (done.kind === "dropped") setHidden(this.answer, true);
    else this.say(done.kind === "done" ? done.said : done.why, done.kind === "refused");
  }

  private say(text: string, refused: boolean): void {
    setAttr(this.answer, "data-refused", refused);
    setText(this.answer, text);
    setHidden(this.answer, false);
  }
}

/** Asks whether it is really over. Returns the note, or `null` where it is not. */
function confirmResolve(incident: Incident, note: string): Promise<string | null> {
  return new Promise((resolve) => {
    const input = el("textarea", { id: "resolve-note", attrs: { rows: 3, maxlength: NOTE_MAX } });
    input.value = note;
    const title = incident.test ? words.resolveDrillTitle : words.resolveTitle;
    const form = el(
      "form",
      { attrs: { method: "dialog" } },
      el("h2", { id: "resolve-heading", text: title(incident.vehicle_id) }),
      el("p", { text: words.resolveWhy }),
      el("label", { text: words.resolveNoteLabel, attrs: { for: "resolve-note" } }),
      input,
      el(
        "div",
        { class: "dialog-buttons" },
        el("button", { text: words.resolveNo, attrs: { value: "no", type: "button" }, on: { click: () => dialog.close("no") } }),
        el("button", { class: "primary", text: words.resolveYes, attrs: { value: "yes", type: "submit" } }),
      ),
    );
    const dialog = el("dialog", { class: "dialog", attrs: { "aria-labelledby": "resolve-heading" } }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? input.value.trim() : null);
    });
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
