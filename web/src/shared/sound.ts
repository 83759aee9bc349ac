/**
 * Sounds, made of plain tones: no file to load, so they also come while the server is away.
 *
 * Browsers allow sound only after the person has clicked or typed on the page. `Sound` tells whether it is allowed.
 */

/** A tone: pitch in Hz, start and length in seconds. */
interface Tone {
  hz: number;
  at: number;
  length: number;
}

/** Rising for a new emergency, falling for a lost server, one soft tone for a drill: told apart without looking. */
const PATTERNS = {
  emergency: [
    { hz: 659, at: 0, length: 0.16 },
    { hz: 880, at: 0.18, length: 0.16 },
    { hz: 1319, at: 0.36, length: 0.34 },
  ],
  lost: [
    { hz: 440, at: 0, length: 0.3 },
    { hz: 294, at: 0.34, length: 0.5 },
  ],
  drill: [{ hz: 587, at: 0, length: 0.25 }],
  /** The emergency's own tones, for the person who tries whether it can be heard. */
  test: [
    { hz: 659, at: 0, length: 0.16 },
    { hz: 880, at: 0.18, length: 0.16 },
    { hz: 1319, at: 0.36, length: 0.34 },
  ],
} satisfies Record<string, Tone[]>;

export type Pattern = keyof typeof PATTERNS;

const LOUDNESS: Record<Pattern, number> = { emergency: 0.5, lost: 0.4, drill: 0.15, test: 0.5 };

export class Sound {
  /** Number of patterns that were really played, by name. */
  readonly played: Record<Pattern, number> = { emergency: 0, lost: 0, drill: 0, test: 0 };
  private readonly listeners = new Set<() => void>();
  private context: AudioContext | null = null;

  constructor() {
    try {
      this.context = new AudioContext();
      this.context.addEventListener("statechange", () => this.tell());
    } catch {
      // A browser without sound: `allowed` stays false, and the page says so.
    }
    // Any click or key is leave enough for the browser, so nobody has to look for the button.
    const wake = () => void this.allow();
    addEventListener("pointerdown", wake, { capture: true });
    addEventListener("keydown", wake, { capture: true });
  }

  get allowed(): boolean {
    return this.context?.state === "running";
  }

  /** True where the browser has no sound at all. */
  get missing(): boolean {
    return this.context === null;
  }

  /** Asks the browser for sound; returns whether it is allowed now. */
  async allow(): Promise<boolean> {
    if (this.allowed) return true;
    try {
      await this.context?.resume();
    } catch {
      // Still not allowed, and `allowed` says so.
    }
    return this.allowed;
  }

  /** Tells `listener` whenever `allowed` may have changed. */
  onChange(listener: () => void): void {
    this.listeners.add(listener);
  }

  /** Plays a pattern if sound is allowed; returns whether it was. */
  play(pattern: Pattern): boolean {
    const { context } = this;
    if (!context || !this.allowed) return false;
    for (const tone of PATTERNS[pattern]) playTone(context, tone, LOUDNESS[pattern]);
    this.played[pattern] += 1;
    this.tell();
    return true;
  }

  private tell(): void {
    for (const listener of this.listeners) listener();
  }
}

function playTone(context: AudioContext, tone: Tone, loudness: number): void {
  const start = context.currentTime + tone.at;
  const end = start + tone.length;
  const oscillator = new OscillatorNode(context, { type: "triangle", frequency: tone.hz });
  const volume = new GainNode(context, { gain: 0 });
  // A tone that begins or ends at once would click.
  volume.gain.setValueAtTime(0, start);
  volume.gain.linearRampToValueAtTime(loudness, start + 0.02);
  volume.gain.setValueAtTime(loudness, Math.max(start + 0.02, end - 0.08));
  volume.gain.linearRampToValueAtTime(0, end);
  oscillator.connect(volume).connect(context.destination);
  oscillator.start(start);
  oscillator.stop(end);
}
