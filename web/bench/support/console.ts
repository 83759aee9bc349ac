/** Notices when calls become rows of the console, and when sounds begin. */
import type { Page } from "playwright-core";

export interface Noticed {
  /** Time at which the row of a vehicle was in the page, in ms since 1970. */
  placed: Record<string, number>;
  /** Time at which the row of a vehicle was in a frame, in ms since 1970. */
  rows: Record<string, number>;
  /** Times at which a sound as loud as an emergency began, in ms since 1970. */
  sounds: number[];
}

/** An emergency plays at half of what is possible; the sound of a lost server at 0.4. */
const LOUD = 0.45;
/** Silence that parts two sounds, in ms: the tones of one are closer together, and two sounds further apart. */
const SILENCE_MS = 500;

/** Puts eyes and ears into a page; call it before the page is loaded. */
export async function notice(page: Page): Promise<void> {
  await page.addInitScript(
    ({ loud, silenceMs }) => {
      const noticed: Noticed = { placed: {}, rows: {}, sounds: [] };
      Object.assign(globalThis, { noticed });
      new MutationObserver(() => {
        const fresh = [...document.querySelectorAll(".row-vehicle")].map((row) => row.textContent ?? "").filter((name) => name !== "" && !(name in noticed.placed));
        for (const name of fresh) noticed.placed[name] = Date.now();
        if (fresh.length > 0) requestAnimationFrame(() => fresh.forEach((name) => (noticed.rows[name] = Date.now())));
      }).observe(document, { subtree: true, childList: true, characterData: true });

      const connect = AudioNode.prototype.connect as (this: AudioNode, to: AudioNode) => AudioNode;
      const ears = new WeakMap<BaseAudioContext, AnalyserNode>();
      let lastLoudMs = 0;
      const earsOf = (context: BaseAudioContext): AnalyserNode => {
        const known = ears.get(context);
        if (known) return known;
        const analyser = new AnalyserNode(context, { fftSize: 32_768 });
        ears.set(context, analyser);
        const samples = new Float32Array(analyser.fftSize);
        setInterval(() => {
          analyser.getFloatTimeDomainData(samples);
          const now = Date.now();
          for (let at = 0; at < samples.length; at += 1) {
            if (Math.abs(samples[at]!) < loud) continue;
            const heardMs = now - ((samples.length - at) * 1_000) / context.sampleRate;
            if (heardMs - lastLoudMs > silenceMs) noticed.sounds.push(heardMs);
            lastLoudMs = Math.max(lastLoudMs, heardMs);
          }
        }, 50);
        return analyser;
      };
      AudioNode.prototype.connect = function (this: AudioNode, to: AudioNode) {
        if (to instanceof AudioDestinationNode) connect.call(this, earsOf(this.context));
        return connect.call(this, to);
      } as typeof AudioNode.prototype.connect;
    },
    { loud: LOUD, silenceMs: SILENCE_MS },
  );
}

export function noticed(page: Page): Promise<Noticed> {
  return page.evaluate(() => (globalThis as unknown as { noticed: Noticed }).noticed);
}
