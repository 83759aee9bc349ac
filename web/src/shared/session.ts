/**
 * Questions to the server: limits on waiting, refusals as readable errors, and the sign-in.
 *
 * A 401 makes the page ask for a token, once for all requests that got one, and sends them again. The token goes to the server once,
 * which gives a cookie for it that no script can read; the page itself keeps nothing.
 */
import { readProblem } from "./problem";
import { showSignIn } from "./sign-in";
import { strings } from "./strings";

export { describe, isCancelled, Problem } from "./problem";

const words = strings.common;

/** Longest wait for an answer, unless a request names its own. */
export const ANSWER_LIMIT_MS = 10_000;

export interface Ask extends RequestInit {
  /** Longest wait in ms for the whole answer; `null` for none, where the caller's `signal` sets its own limit. */
  limitMs?: number | null;
}

/** Sends a request and returns its answer if it is one of success; throws a `Problem` for a refusal. */
export async function request(path: string, ask: Ask = {}): Promise<Response> {
  for (;;) {
    const turn = signIns;
    const response = await fetch(path, limited(ask));
    if (response.ok) return response;
    const refusal = await readProblem(response);
    if (refusal.status !== 401) throw refusal;
    // Another request may have brought the sign-in meanwhile.
    if (turn === signIns && !(await signIn())) throw refusal;
  }
}

/** As `request`, without a sign-in, and without the one that is there. */
export async function requestOpenly(path: string, ask: Ask = {}): Promise<Response> {
  const response = await fetch(path, limited({ ...ask, credentials: "omit" }));
  if (response.ok) return response;
  throw await readProblem(response);
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

function limited(ask: Ask): RequestInit {
  const { limitMs = ANSWER_LIMIT_MS, signal, headers, ...rest } = ask;
  const signals = [signal, limitMs === null ? null : AbortSignal.timeout(limitMs)].filter((one) => one != null);
  return { cache: "no-store", ...rest, headers: plainHeaders(headers), signal: AbortSignal.any(signals) };
}

function plainHeaders(headers: HeadersInit | undefined): Record<string, string> {
  return Object.fromEntries(new Headers(headers).entries());
}

// ---- The sign-in ----------------------------------------------------------------------------------------------------------

const SESSION = "/api/v1/session";

/** The principal that the server takes this page for. */
export interface Who {
  name: string;
  role: "latest" | "read" | "operate" | "admin" | "ingest";
  /** A person, and not a program. */
  person: boolean;
  /** Meaning of a name in the body of a deed: where it is ignored, the deed is recorded under the name above. */
  by?: "needed" | "on_behalf" | "ignored";
}

type WhoListener = (who: Who | null) => void;
type WantedListener = (wanted: boolean) => void;
const whoListeners = new Set<WhoListener>();
const wantedListeners = new Set<WantedListener>();
let who: Who | null = null;
/** Number of sign-ins since the page was opened. */
let signIns = 0;
let asking: Promise<boolean> | null = null;
let declined = false;

/** Asks the server who it takes this page for, which may lead to the sign-in. */
export async function whoAmI(): Promise<Who> {
  tellWho(await readJson<Who>(SESSION));
  return who!;
}

/** The principal, where it is known. */
export function knownWho(): Who | null {
  return who;
}

/** True for a page that the server lets in as what runs on its own machine, without a sign-in. */
export function isUnnamed({ name, by }: Who): boolean {
  return name === "local" && by === "needed";
}

/** True where the server takes comments on incidents and the like. A principal that is not known is let try: the server decides. */
export function mayAct(who: Who | null): boolean {
  return who === null || who.role === "operate" || who.role === "admin";
}

/** True where the server takes what only a person may do: acknowledge, resolve, raise. A trusted console names one. */
export function mayDecide(who: Who | null): boolean {
  return mayAct(who) && (who === null || who.person || who.by === "on_behalf");
}

/** Tells `listener` each time that the principal is asked for. */
export function onWho(listener: WhoListener): void {
  whoListeners.add(listener);
}

/** Tells `listener` when the server begins to ask for a sign-in, and when it has one. */
export function onSignInWanted(listener: WantedListener): void {
  wantedListeners.add(listener);
}

/** Asks again after the person had put the question off; for a button. */
export function signInAgain(): Promise<boolean> {
  declined = false;
  return signIn();
}

/** Ends the session, and loads the page anew: what is on it was for somebody else's eyes. */
export async function signOut(): Promise<void> {
  const response = await fetch(SESSION, limited({ method: "DELETE" }));
  // Where there is no session any more, nothing is left to end.
  if (!response.ok && response.status !== 401) throw await readProblem(response);
  location.reload();
}

/** Asks for a token, one question for all who need it. Returns false where the person put it off. */
function signIn(): Promise<boolean> {
  if (declined) return Promise.resolve(false);
  if (asking) return asking;
  for (const listener of wantedListeners) listener(true);
  asking = showSignIn(send).then((given) => {
    asking = null;
    declined = !given;
    if (given) for (const listener of wantedListeners) listener(false);
    return given;
  });
  return asking;
}

/** Exchanges a token for a session; throws what is to be told to the person. */
async function send(token: string): Promise<void> {
  const begun = await fetch(SESSION, limited({ method: "POST", headers: { Authorization: `Bearer ${token}` } }));
  if (!begun.ok) throw await readProblem(begun);
  const shown = await fetch(SESSION, limited({}));
  if (shown.status === 401) throw new Error(words.signInNoCookie);
  if (!shown.ok) throw await readProblem(shown);
  const before = who;
  signIns += 1;
  const now = (await shown.json()) as Who;
  // What is on the page was for somebody else's eyes.
  if (before !== null && (before.name !== now.name || before.role !== now.role)) location.reload();
  tellWho(now);
}

function tellWho(now: Who): void {
  who = now;
  for (const listener of whoListeners) listener(now);
}
