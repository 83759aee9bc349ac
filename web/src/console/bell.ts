/** The bell: plays what the rules of the alarm want, as far as the browser lets it. */
import { Sound } from "../shared/sound";
import { AlarmRules } from "./alarm";

export class Bell {
  private readonly sound = new Sound();
  private readonly rules = new AlarmRules();

  /** `changed` is called whenever the browser allows or forbids sound, and after each sound. */
  constructor(changed: () => void) {
    this.sound.onChange(changed);
  }

  /** Plays what is due. `waiting`: real emergencies that nobody has acknowledged. */
  ring(waiting: number, lost: boolean): void {
    const now = performance.now();
    const pattern = this.rules.due(now, waiting, lost);
    if (pattern && this.sound.play(pattern)) this.rules.played(pattern, now);
  }

  emergency(): void {
    this.rules.emergency();
  }

  drill(): void {
    this.rules.drill();
  }

  toggleMute(): void {
    if (this.mutedFor > 0) this.rules.unmute();
    else this.rules.mute(performance.now());
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
    return this.rules.mutedFor(performance.now());
  }

  /** Number of times that an emergency was really heard. */
  get heard(): number {
    return this.sound.played.emergency;
  }
}
