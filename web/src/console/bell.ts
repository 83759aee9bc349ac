/** The bell: plays what the rules of the alarm want, as far as the browser lets it. */
import { Sound } from "../shared/sound";
import { AlarmRules } from "./alarm";

export class Bell {
  private readonly rules = new AlarmRules();
  private due: ReturnType<typeof setTimeout> | null = null;

  /** `changed` is called whenever the browser allows or forbids sound, and after each sound. */
  constructor(
    changed: () => void,
    private readonly sound: Pick<Sound, "allow" | "allowed" | "missing" | "onChange" | "play" | "played"> = new Sound(),
    private readonly now: () => number = () => performance.now(),
  ) {
    this.sound.onChange(changed);
  }

  /** Plays what is due. `waiting`: real emergencies that nobody has acknowledged. */
  ring(waiting: number, lost: boolean): void {
    const now = this.now();
    const pattern = this.rules.due(now, waiting, lost);
    if (pattern && this.sound.play(pattern)) this.rules.played(pattern, now);
    const pause = this.rules.pauseMs(now);
    if (this.due !== null) clearTimeout(this.due);
    // Not with the next tick: every emergency that followed would come later and later.
    this.due = pause === null ? null : setTimeout(() => this.ring(waiting, lost), pause);
  }

  emergency(): void {
    this.rules.emergency(this.now());
  }

  drill(): void {
    this.rules.drill();
  }

  toggleMute(): void {
    if (this.mutedFor > 0) this.rules.unmute();
    else this.rules.mute(this.now());
  }

  /** Asks the browser for sound by the click of a person, and lets them hear it. */
  async test(): Promise<void> {
    if (await this.sound.allow()) this.sound.play("test");
  }

  get state(): "on" | "blocked" | "missing" {
    if (this.sound.allowed) return "on";
    return this.sound.missing ? "missing" : "blocked";
  }

  /** Time until the mute ends in ms; 0 where nothing is muted. */
  get mutedFor(): number {
    return this.rules.mutedFor(this.now());
  }

  /** Number of times that an emergency was really heard. */
  get heard(): number {
    return this.sound.played.emergency;
  }
}
