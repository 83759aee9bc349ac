/** The distribution's Chromium, and pages that note all that goes wrong in them. */
import { execFileSync } from "node:child_process";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { LIMIT_MS } from "./wait";

/** Software drawing, as a machine without a graphics card has it; no sandbox, since root may run the tests. */
const ARGS = [
  "--no-sandbox",
  "--use-gl=angle",
  "--use-angle=swiftshader",
  "--enable-unsafe-swiftshader",
  "--ignore-certificate-errors",
  "--autoplay-policy=no-user-gesture-required",
  "--disable-dev-shm-usage",
];

export function launch(): Promise<Browser> {
  return chromium.launch({ executablePath: program(), args: ARGS, timeout: LIMIT_MS });
}

function program(): string {
  const named = process.env["CHROMIUM"];
  return named ?? execFileSync("sh", ["-c", "command -v chromium"], { encoding: "utf8" }).trim();
}

export interface View extends BrowserContextOptions {
  /** What may go wrong in this page, such as a request that is refused on purpose. */
  allow?: readonly RegExp[];
}

export const PHONE: View = { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true };
export const DARK: View = { colorScheme: "dark" };

/** A page with its faults: errors on the console, errors that nobody caught, and breaches of its policy. */
export class Window {
  readonly page: Page;
  readonly #context: BrowserContext;
  readonly #allow: RegExp[];
  readonly #faults: string[] = [];

  private constructor(context: BrowserContext, page: Page, allow: readonly RegExp[]) {
    this.page = page;
    this.#context = context;
    this.#allow = [...allow];
    page.on("console", (message) => {
      if (message.type() === "error") this.#faults.push(`console: ${message.text()} (${message.location().url})`);
    });
    page.on("pageerror", (err) => this.#faults.push(`uncaught: ${err.stack ?? err.message}`));
    page.on("crash", () => this.#faults.push("the page crashed"));
  }

  /** Opens `url`, and returns when the page and its scripts are loaded. */
  static async open(browser: Browser, url: string, { allow = [], ...view }: View = {}): Promise<Window> {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ignoreHTTPSErrors: true, ...view });
    context.setDefaultTimeout(LIMIT_MS);
    const page = await context.newPage();
    const window = new Window(context, page, allow);
    await page.addInitScript(() => {
      // The console tells of most breaches, but not of those in a worker's first script.
      addEventListener("securitypolicyviolation", (event) => {
        console.error(`policy: ${event.violatedDirective} forbids ${event.blockedURI}`);
      });
    });
    await page.goto(url, { waitUntil: "load" });
    return window;
  }

  /** Lets something go wrong from now on. */
  allow(...faults: RegExp[]): void {
    this.#allow.push(...faults);
  }

  /** Lists what went wrong and was not allowed. */
  get faults(): string[] {
    return this.#faults.filter((fault) => !this.#allow.some((allowed) => allowed.test(fault)));
  }

  /** Saves a picture where PICTURES names a folder, to look at. */
  async picture(name: string): Promise<void> {
    const folder = process.env["PICTURES"];
    if (folder) await this.page.screenshot({ path: `${folder}/${name}.png` });
  }

  async close(): Promise<void> {
    await this.#context.close();
  }
}
