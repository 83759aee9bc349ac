/** A real `vagn serve` on ports of its own, over a data directory of its own, started in a folder of its own. */
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createSocket } from "node:dgram";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request as plainRequest } from "node:http";
import { request } from "node:https";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { encode, type Value } from "./msgpack";
import { eventually, LIMIT_MS } from "./wait";

const LISTENERS = ["udp", "tcp", "http", "ops"] as const;
type Listener = (typeof LISTENERS)[number];

export interface Start {
  /** Further arguments of `vagn serve`. */
  args?: readonly string[];
  /** Tokens that the API asks for. */
  tokens?: readonly string[];
  /** Command that starts it, such as `taskset -c 0`. */
  by?: readonly string[];
}

/** A report, by the names of docs/wire.md. `Emergency` comes last, whatever the order here. */
export interface Report {
  ID: string;
  Lat?: number;
  Lon?: number;
  /** ms since 1970. */
  Ts?: number;
  Seq?: number;
  Speed?: number;
  Heading?: number;
  Kind?: "auto" | "manual" | "test";
  Inc?: string;
  Emergency?: boolean;
}

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  text: string;
}

export interface Ask {
  method?: string;
  headers?: Record<string, string>;
  /** Sent as JSON. */
  body?: unknown;
}

const running = new Set<ChildProcess>();
// Whatever ends this process ends what it has started.
process.on("exit", () => running.forEach((child) => child.kill("SIGKILL")));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(1));

export class Vagn {
  readonly folder = mkdtempSync(join(tmpdir(), "vagn-browser-"));
  readonly dataDir = join(this.folder, "data");
  #start: Start;
  #child: ChildProcess | undefined;
  #addresses = new Map<Listener, string>(LISTENERS.map((name) => [name, "127.0.0.1:0"]));
  #log: string[] = [];
  #readyMs = 0;
  #socket = createSocket("udp4");

  private constructor(start: Start) {
    this.#start = start;
  }

  /** Starts it and waits until it says `ready`. */
  static async start(start: Start = {}): Promise<Vagn> {
    const vagn = new Vagn(start);
    await vagn.#run();
    return vagn;
  }

  /** The address of a page. */
  url(path: string): string {
    return `https://localhost:${this.port("http")}${path}`;
  }

  port(listener: Listener): number {
    return Number(this.#addresses.get(listener)?.split(":").at(-1));
  }

  /** What it has logged. */
  get log(): string {
    return this.#log.join("\n");
  }

  /** Number of its process. */
  get pid(): number {
    if (this.#child?.pid === undefined) throw new Error("the service does not run");
    return this.#child.pid;
  }

  /** Time at which it said `ready`, in ms since 1970. */
  get readyMs(): number {
    return this.#readyMs;
  }

  /** Sends reports as datagrams. UDP may lose them, so wait for what should come of them, and send again. */
  async send(...reports: Report[]): Promise<void> {
    for (const report of reports) await this.sendBytes(encode(ordered(report)));
  }

  sendBytes(bytes: Buffer): Promise<void> {
    return new Promise((done, fail) => {
      this.#socket.send(bytes, this.port("udp"), "127.0.0.1", (err) => (err ? fail(err) : done()));
    });
  }

  /** Sends reports over HTTPS, and returns when they are stored. */
  async store(...reports: Report[]): Promise<void> {
    const answer = await this.ask("/api/v1/positions", { method: "POST", body: reports.map(ordered) });
    if (answer.status !== 200) throw new Error(`the reports were not taken: ${answer.status} ${answer.text}`);
  }

  /** Asks the API, with the first of its tokens. */
  ask(path: string, { method = "GET", headers = {}, body }: Ask = {}): Promise<Answer> {
    const token = this.#start.tokens?.[0];
    const all = {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    };
    const options = { port: this.port("http"), host: "127.0.0.1", path, method, headers: all, rejectUnauthorized: false };
    return read(request(options), body);
  }

  async json<T>(path: string, ask: Ask = {}): Promise<T> {
    const answer = await this.ask(path, ask);
    if (answer.status >= 300) throw new Error(`${path} answers ${answer.status}: ${answer.text}`);
    return JSON.parse(answer.text) as T;
  }

  /** Asks the ops port. */
  ops(path: string): Promise<Answer> {
    return read(plainRequest({ port: this.port("ops"), host: "127.0.0.1", path, method: "GET" }), undefined);
  }

  /** Ends it as a power cut would, without a stop. */
  async kill(): Promise<void> {
    await this.#end("SIGKILL");
  }

  /** Starts it again on the same ports and data. */
  async restart(): Promise<void> {
    if (this.#child) await this.#end("SIGTERM");
    await this.#run();
  }

  /** Lets it run for `runMs` of each `periodMs` and stand still for the rest, as on a machine that is far too small. Returns what ends this. */
  throttle(runMs: number, periodMs: number): () => void {
    let timer: NodeJS.Timeout | undefined;
    const run = (): void => {
      this.#child?.kill("SIGCONT");
      timer = setTimeout(stand, runMs);
    };
    const stand = (): void => {
      this.#child?.kill("SIGSTOP");
      timer = setTimeout(run, periodMs - runMs);
    };
    run();
    return () => {
      clearTimeout(timer);
      this.#child?.kill("SIGCONT");
    };
  }

  /** Sum of a metric over all its labels. */
  async metric(name: string): Promise<number> {
    const lines = (await this.ops("/metrics")).text.split("\n");
    return lines.filter((line) => line.split(/[ {]/)[0] === name).reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
  }

  /** Runs another command of the binary, such as `simulate`, until it is stopped or ends; `by` may start it, as in `Start`. */
  command(args: readonly string[], by: readonly string[] = []): { stop: () => Promise<void>; ended: Promise<number | null> } {
    const [program, ...words] = line(by, args);
    const child = spawn(program, words, { cwd: this.folder, stdio: "ignore", env: environment() });
    const ended = gone(child);
    return { ended, stop: async () => void (child.kill("SIGTERM"), await ended) };
  }

  /** Makes a token of this role, and returns it. */
  async token(name: string, role: string): Promise<string> {
    return this.#said<{ token: string }>(["token", "add", name, "--role", role]).token;
  }

  /** Makes a key for a vehicle, and returns its id. */
  async keyId(vehicle: string): Promise<Buffer> {
    return Buffer.from(this.#said<{ key_id: string }>(["device", "add", vehicle]).key_id, "hex");
  }

  /** Runs a command that speaks to the service, and returns what it says. */
  #said<T>(args: readonly string[]): T {
    const options = { cwd: this.folder, env: environment(), encoding: "utf8", timeout: LIMIT_MS } as const;
    return JSON.parse(execFileSync(binary(), [...args, "--data-dir", this.dataDir, "--json"], options)) as T;
  }

  /** Ends it and removes its data. */
  async close(): Promise<void> {
    this.#socket.close();
    if (this.#child) await this.#end("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  async #run(): Promise<void> {
    const addresses = LISTENERS.flatMap((name) => [`--${name}`, this.#addresses.get(name) ?? ""]);
    const args = ["serve", "--data-dir", this.dataDir, ...addresses, ...(this.#start.args ?? [])];
    const tokens = this.#start.tokens?.join(",");
    const env = { ...environment(), ...(tokens === undefined ? {} : { VAGN_HTTP_TOKENS: tokens }) };
    // Its pages must be there wherever it was started.
    const [program, ...words] = line(this.#start.by ?? [], args);
    const child = spawn(program, words, { cwd: this.folder, stdio: ["ignore", "pipe", "pipe"], env });
    this.#child = child;
    const ended = gone(child);
    let ready = false;
    createInterface({ input: child.stdout }).on("line", (line) => {
      const [word, name, address] = line.split(" ");
      if (word === "listening" && name && address) this.#addresses.set(name as Listener, address);
      if (line === "ready") [ready, this.#readyMs] = [true, Date.now()];
    });
    createInterface({ input: child.stderr }).on("line", (line) => this.#log.push(line));
    void ended.then(() => (this.#child = this.#child === child ? undefined : this.#child));
    await eventually("the service to be ready", () => {
      if (child.exitCode !== null) throw new Error(`it ended with ${child.exitCode}: ${this.log}`);
      return ready;
    }).catch((err: unknown) => {
      child.kill("SIGKILL");
      throw err;
    });
  }

  async #end(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (!child) return;
    const ended = gone(child);
    child.kill(signal);
    await ended;
    this.#child = undefined;
  }
}

/** The binary that the tests of the service were built with, unless VAGN names another. */
function binary(): string {
  const target = process.env["CARGO_TARGET_DIR"] ?? resolve("../target");
  const path = process.env["VAGN"] ?? join(target, "debug/vagn");
  if (!existsSync(path)) throw new Error(`${path} is not there: run \`make browser-test\`, which builds it`);
  return resolve(path);
}

/** A program and its arguments: the binary, behind the command that starts it. */
function line(by: readonly string[], args: readonly string[]): [string, ...string[]] {
  const [first, ...rest] = by;
  return first === undefined ? [binary(), ...args] : [first, ...rest, binary(), ...args];
}

/** The environment without settings of the service. */
function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith("VAGN")));
}

function gone(child: ChildProcess): Promise<number | null> {
  running.add(child);
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve(child.exitCode);
  return new Promise((done, fail) => {
    child.once("error", fail);
    child.once("exit", (code) => {
      running.delete(child);
      done(code);
    });
  });
}

/** The flag of an alarm is the last byte of its datagram: so it takes the way of alarms from the kernel on. */
function ordered({ Emergency, ...rest }: Report): Record<string, Value> {
  const all: Record<string, Value | undefined> = { ...rest, Emergency };
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, Value] => entry[1] !== undefined));
}

function read(asked: ReturnType<typeof request>, body: unknown): Promise<Answer> {
  return new Promise((done, fail) => {
    asked.setTimeout(LIMIT_MS, () => asked.destroy(new Error("no answer came")));
    asked.on("error", fail);
    asked.on("response", (response) => {
      const pieces: Buffer[] = [];
      response.on("data", (piece: Buffer) => pieces.push(piece));
      response.on("error", fail);
      response.on("end", () => {
        const text = Buffer.concat(pieces).toString("utf8");
        done({ status: response.statusCode ?? 0, headers: response.headers, text });
      });
    });
    asked.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

/** Returns the certificate and key of a service, for a second server that its browser trusts as much. */
export function identity(vagn: Vagn): { cert: Buffer; key: Buffer } {
  return { cert: readFileSync(join(vagn.dataDir, "cert.pem")), key: readFileSync(join(vagn.dataDir, "key.pem")) };
}
