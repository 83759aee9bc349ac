/** Ledger of notices and trail of an incident, told in words. */
import type { IncidentWithHistory, LedgerEntry, TrailEntry } from "../shared/api";
import { el, setHidden, setText } from "../shared/dom";
import { strings } from "../shared/strings";
import { moment } from "./clock";
import { KeyedList, type View } from "./keyed";
import { isQuotation, ledgerSentence, reasonWords, trailSentence } from "./words";

const words = strings.console;

/** Most notices that are shown; a target that fails for hours has hundreds, and the latest tell enough. */
const NOTICES_MAX = 30;

/** A line with its time, a sentence, and a person's own words or the server's reason. */
interface Line {
  key: string;
  time: string;
  sentence: string;
  quotation: string;
  reason: string;
}

export class History {
  readonly node: HTMLElement;
  private readonly trail: Lines;
  private readonly ledger: Lines;

  constructor(now: () => number) {
    this.trail = new Lines("history", words.historyHeading, words.historyNone, now);
    this.ledger = new Lines("ledger", words.noticesHeading, words.noticesNone, now);
    this.node = el("div", {}, this.ledger.node, this.trail.node);
  }

  show(incident: IncidentWithHistory | null): void {
    const none = incident ? null : words.detail.loading;
    this.ledger.say(none);
    this.trail.say(none);
    const ledger = incident?.ledger ?? [];
    this.ledger.show(ledger.slice(-NOTICES_MAX).reverse().map(ledgerLine), Math.max(0, ledger.length - NOTICES_MAX));
    this.trail.show((incident?.trail ?? []).toReversed().map(trailLine), 0);
  }
}

function ledgerLine(entry: LedgerEntry): Line {
  return { key: String(entry.number), time: entry.at, sentence: ledgerSentence(entry), quotation: "", reason: "" };
}

function trailLine(entry: TrailEntry): Line {
  const quoted = isQuotation(entry.action);
  return {
    // Not its number: that is 0 until the entry is on disk.
    key: `${entry.time} ${entry.action} ${entry.by} ${entry.reason}`,
    time: entry.time,
    sentence: trailSentence(entry),
    quotation: quoted ? entry.reason : "",
    reason: quoted ? "" : reasonWords(entry),
  };
}

class Lines {
  readonly node: HTMLElement;
  private readonly empty: HTMLElement;
  private readonly older = el("p", { class: "soft", hidden: true });
  private readonly list: KeyedList<Line>;

  constructor(
    name: string,
    title: string,
    private readonly none: string,
    now: () => number,
  ) {
    const id = `${name}-heading`;
    const items = el("ul", { class: "lines" });
    this.empty = el("p", { class: "soft", text: none });
    this.node = el("section", { class: `lines-part ${name}`, attrs: { "aria-labelledby": id } }, el("h3", { id, text: title }), this.empty, items, this.older);
    this.list = new KeyedList(
      items,
      (line) => line.key,
      () => new LineView(now),
    );
  }

  /** Says something else than that there is nothing, as long as it is not known. */
  say(text: string | null): void {
    setText(this.empty, text ?? this.none);
  }

  show(lines: Line[], older: number): void {
    this.list.show(lines);
    setHidden(this.empty, lines.length > 0);
    setText(this.older, words.older(older));
    setHidden(this.older, older === 0);
  }
}

class LineView implements View<Line> {
  private readonly time = el("time");
  private readonly sentence = el("span", { class: "line-sentence" });
  private readonly quotation = el("q", { hidden: true });
  private readonly reason = el("span", { class: "line-reason", hidden: true });
  readonly node = el("li", {}, this.sentence, " ", this.quotation, this.reason, this.time);

  constructor(private readonly now: () => number) {}

  update(line: Line): void {
    setText(this.time, moment(line.time, this.now()));
    setText(this.sentence, line.sentence);
    setText(this.quotation, line.quotation);
    setHidden(this.quotation, line.quotation === "");
    setText(this.reason, line.reason);
    setHidden(this.reason, line.reason === "");
  }
}
