/** Hears what a page plays: the samples on their way to the loudspeaker, and not what the page says of them. */
import type { Page } from "playwright-core";

/** Puts a microphone into a page; call it before the page is loaded. */
export async function listen(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const heard = { loudest: 0 };
    Object.assign(globalThis, { heard });
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
        for (const sample of samples) heard.loudest = Math.max(heard.loudest, Math.abs(sample));
      }, 250);
      return analyser;
    };
    AudioNode.prototype.connect = function (this: AudioNode, to: AudioNode) {
      if (to instanceof AudioDestinationNode) connect.call(this, earsOf(this.context));
      return connect.call(this, to);
    } as typeof AudioNode.prototype.connect;
  });
}

/** Loudest sample since the page was loaded, 0 to 1. */
export function loudest(page: Page): Promise<number> {
  return page.evaluate(() => (globalThis as unknown as { heard: { loudest: number } }).heard.loudest);
}
