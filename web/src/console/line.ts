/** The line to the server: asks for the targets again and again, and takes each answer as the proof of contact. */
import * as api from "../shared/api";
import type { Targets } from "../shared/api";
import { describe } from "../shared/session";
import type { ServerClock } from "./clock";
import { ANSWER_WITHIN_MS, ContactRules, type Contact } from "./contact";

export class Line {
  /** As the server told them last; `null` before that. */
  targets: Targets | null = null;
  private readonly rules = new ContactRules(Date.now());

  /** `back` is called when the first answer after a loss has come. */
  constructor(
    private readonly clock: ServerClock,
    private readonly back: () => void,
  ) {}

  /** Once a second. */
  tick(): void {
    const now = Date.now();
    this.rules.tick(now);
    if (this.rules.ask(now)) void this.ask();
  }

  get contact(): Contact {
    return this.rules.state(Date.now());
  }

  get wasHeard(): boolean {
    return this.rules.wasHeard;
  }

  /** True where contact was there and is lost, which is worth a sound. */
  get isLost(): boolean {
    return this.wasHeard && this.contact.kind === "lost";
  }

  private async ask(): Promise<void> {
    const sentAt = Date.now();
    try {
      this.targets = await api.targets({ limitMs: ANSWER_WITHIN_MS });
      const wasLost = this.contact.kind === "lost";
      this.clock.sync(this.targets.time, sentAt, Date.now());
      this.rules.answered(Date.now());
      if (wasLost) this.back();
    } catch (error) {
      this.rules.failed(describe(error));
    }
  }
}
