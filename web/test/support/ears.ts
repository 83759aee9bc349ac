/** Hears what a page plays: the samples on their way to the loudspeaker, and not what the page says of them. */
import type { Page } from "playwright-core";

/** An emergency plays at half of what is possible; the sound of a lost server at 0.4. */
const LOUD = 0.45;
/** Silence that parts two sounds, in ms: the tones of one are closer together, and two sounds further apart. */
const SILENCE_MS = 500;
/** Time between two looks at the samples, in ms: more are kept than come in that time. */
const EVERY_MS = 250;

interface Heard {
  /** Loudest sample since the page was loaded, 0 to 1. */
  loudest: number;
  /** Times at which a sound as loud as an emergency began, in ms since 1970. */
  sounds: number[];
}

/** Puts a microphone into a page; call it before the page is loaded. */
export async function listen(page: Page): Promise<void> {
  await page.addInitScript(
    ({ loud, silenceMs, everyMs }) => {
      const heard: Heard = { loudest: 0, sounds: [] };
      Object.assign(globalThis, { heard });
      let lastLoudMs = 0;
      const hear = (sample: number, atMs: number): void => {
        heard.loudest = Math.max(heard.loudest, Math.abs(sample));
        // Looks overlap: what was heard already is not heard again.
        if (Math.abs(sample) < loud || atMs <= lastLoudMs) return;
        if (atMs - lastLoudMs > silenceMs) heard.sounds.push(atMs);
        lastLoudMs = atMs;
      };
      const connect = AudioNode.prototype.connect as (this: AudioNode, to: AudioNode) => AudioNode;
      const ears = new WeakMap<BaseAudioContext, AnalyserNode>();
      const earsOf = (context: BaseAudioContext): AnalyserNode => {
        const known = ears.get(context);
        if (known) return known;
        const analyser = new AnalyserNode(context, { fftSize: 32_768 });
        ears.set(context, analyser);
        const samples = new Float32Array(analyser.fftSize);
        setInterval(() => {
          analyser.getFloatTimeDomainData(samples);
          const now = Date.now();
          samples.forEach((sample, at) => hear(sample, now - ((samples.length - at) * 1_000) / context.sampleRate));
        }, everyMs);
        return analyser;
      };
      AudioNode.prototype.connect = function (this: AudioNode, to: AudioNode) {
        if (to instanceof AudioDestinationNode) connect.call(this, earsOf(this.context));
        return connect.call(this, to);
      } as typeof AudioNode.prototype.connect;
    },
    { loud: LOUD, silenceMs: SILENCE_MS, everyMs: EVERY_MS },
  );
}

/** Loudest sample since the page was loaded, 0 to 1. */
export async function loudest(page: Page): Promise<number> {
  return (await heard(page)).loudest;
}

/** Times at which a sound as loud as an emergency began, in ms since 1970. */
export async function sounds(page: Page): Promise<number[]> {
  return (await heard(page)).sounds;
}

function heard(page: Page): Promise<Heard> {
  return page.evaluate(() => (globalThis as unknown as { heard: Heard }).heard);
}
