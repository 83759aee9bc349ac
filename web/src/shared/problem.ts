/** Refusals of the server as errors, and errors in words. */
import { strings } from "./strings";

const words = strings.common;

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

/** Reads the refusal that an answer is. */
export async function readProblem(response: Response): Promise<Problem> {
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
