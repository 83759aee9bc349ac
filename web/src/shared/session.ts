/**
 * Questions to the server: today's token, limits on waiting, and refusals as readable errors.
 *
 * A 401 makes the page ask for the token, once for all requests that got one, and sends them again. The token is kept for this
 * tab only.
 */
import { el, setHidden, setText } from "./dom";
import { strings } from "./strings";

const words = strings.common;
const STORED_AS = "vagn.token";

/** Longest wait for an answer, unless a request names its own. */
export const ANSWER_LIMIT_MS = 10_000;

/** A refusal by the server, as `application/problem+json` tells it. */
export class Problem extends Error {
  readonly status: number;
  /** The name after `urn:vagn:problem:`, or an empty text. */
  readonly kind: string;
  readonly title: string;
  readonly body: Readonly<Record<string, unknown>>;

  constructor(status: number, body: Record<string, unknown>) {
    const title = text(body["title"]) ?? words.refused(status);
    super(text(body["detail"]) ?? title);
    this.name = "Problem";
    this.status = status;
    this.kind = (text(body["type"]) ?? "").replace("urn:vagn:problem:", "");
    this.title = title;
    this.body = body;
  }
}

/** Makes a sentence for people of whatever a request threw. */
export function describe(error: unknown): string {
  if (error instanceof Problem) return error.message;
  if (error instanceof DOMException && error.name === "TimeoutError") return words.noAnswer;
  if (error instanceof DOMException && error.name === "AbortError") return words.cancelled;
  if (error instanceof TypeError) return words.noContact;
  return error instanceof Error ? error.message : String(error);
}

/** True where the person ended the request, so that nothing needs to be told. */
export function isCancelled(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export interface Ask extends RequestInit {
  /** Longest wait in ms for the whole answer; `null` for none, where the caller's `signal` sets its own limit. */
  limitMs?: number | null;
}

/** Sends a request and returns its answer if it is one of success; throws a `Problem` for a refusal. */
export async function request(path: string, ask: Ask = {}): Promise<Response> {
  for (;;) {
    const used = token();
    const response = await fetch(path, withToken(ask, used));
    if (response.ok) return response;
    if (response.status !== 401) throw await problem(response);
    // Another request may have brought a newer token meanwhile.
    if (token() === used && !(await askForToken(used !== null))) throw await problem(response);
  }
}

export async function readJson<T>(path: string, ask: Ask = {}): Promise<T> {
  const response = await request(path, ask);
  return (await response.json()) as T;
}

/** Sends `body` as JSON by POST. */
export function postJson<T>(path: string, body: unknown, ask: Ask = {}): Promise<T> {
  const headers = { ...plainHeaders(ask.headers), "Content-Type": "application/json" };
  return readJson<T>(path, { ...ask, method: "POST", headers, body: JSON.stringify(body) });
}

/** Headers for requests that others send, such as those of the map for its tiles. */
export function authHeaders(): Record<string, string> {
  const known = token();
  return known === null ? {} : { Authorization: `Bearer ${known}` };
}

function withToken(ask: Ask, known: string | null): RequestInit {
  const { limitMs = ANSWER_LIMIT_MS, signal, headers, ...rest } = ask;
  const signals = [signal, limitMs === null ? null : AbortSignal.timeout(limitMs)].filter((one) => one != null);
  const all = plainHeaders(headers);
  if (known !== null) all["Authorization"] = `Bearer ${known}`;
  return { cache: "no-store", ...rest, headers: all, signal: AbortSignal.any(signals) };
}

function plainHeaders(headers: HeadersInit | undefined): Record<string, string> {
  return Object.fromEntries(new Headers(headers).entries());
}

async function problem(response: Response): Promise<Problem> {
  try {
    const body: unknown = await response.json();
    if (typeof body === "object" && body !== null) return new Problem(response.status, body as Record<string, unknown>);
  } catch {
    // A proxy in between answers in a form of its own; the status tells enough.
  }
  return new Problem(response.status, {});
}

function text(value: unknown): string | null {
  return typeof value === "string" && value !== "" ? value : null;
}

// ---- The token ------------------------------------------------------------------------------------------------------------

let memory: string | null = null;

function token(): string | null {
  try {
    return sessionStorage.getItem(STORED_AS) ?? memory;
  } catch {
    return memory;
  }
}

function keep(value: string): void {
  memory = value;
  try {
    sessionStorage.setItem(STORED_AS, value);
  } catch {
    // A browser that allows no storage keeps the token until the page is loaded again.
  }
}

type WantedListener = (wanted: boolean) => void;
const listeners = new Set<WantedListener>();
let asking: Promise<boolean> | null = null;
let declined = false;

/** Tells `listener` when the server begins to ask for a token, and when the person has given one. */
export function onTokenWanted(listener: WantedListener): void {
  listeners.add(listener);
}

/** Asks again after the person had put the question off; for a button. */
export function askForTokenAgain(): Promise<boolean> {
  declined = false;
  return askForToken(false);
}

/** Asks for a token, one question for all who need it. Returns false where the person put it off. */
function askForToken(wrong: boolean): Promise<boolean> {
  if (declined) return Promise.resolve(false);
  if (asking) return asking;
  tellWanted(true);
  asking = showDialog(wrong).then((given) => {
    asking = null;
    declined = !given;
    if (given) tellWanted(false);
    return given;
  });
  return asking;
}

function tellWanted(wanted: boolean): void {
  for (const listener of listeners) listener(wanted);
}

function showDialog(wrong: boolean): Promise<boolean> {
  return new Promise((resolve) => {
    const input = el("input", {
      id: "token-input",
      attrs: { type: "password", name: "token", autocomplete: "off", required: true, spellcheck: "false", "aria-describedby": "token-why" },
    });
    const why = el("p", { id: "token-why", text: wrong ? words.tokenWrong : words.tokenWhy });
    const fault = el("p", { class: "dialog-fault", hidden: true, attrs: { role: "alert" } });
    const later = el("button", { text: words.tokenLater, attrs: { type: "button" }, on: { click: () => dialog.close() } });
    const form = el(
      "form",
      { attrs: { method: "dialog", novalidate: true } },
      el("h2", { id: "token-title", text: words.tokenTitle }),
      why,
      el("label", { text: words.tokenLabel, attrs: { for: "token-input" } }),
      input,
      fault,
      el("div", { class: "dialog-buttons" }, later, el("button", { class: "primary", text: words.tokenGive, attrs: { type: "submit" } })),
    );
    const dialog = el("dialog", { class: "dialog token-dialog", attrs: { "aria-labelledby": "token-title" } }, form);
    let given = false;
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const value = input.value.trim();
      // A header may hold only these; others would make every request fail without a word.
      if (!/^[\x21-\x7e]+$/.test(value)) {
        setText(fault, words.tokenUnreadable);
        setHidden(fault, false);
        input.focus();
        return;
      }
      keep(value);
      given = true;
      dialog.close();
    });
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(given);
    });
    document.body.append(dialog);
    dialog.showModal();
    input.focus();
  });
}
