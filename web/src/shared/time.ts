/** Times in words: local time with UTC beside it, and how old something is. */
import { strings } from "./strings";

const words = strings.common;
const local = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const localDay = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

/** Local time of day, with the day where it is not today. */
export function localTime(ms: number, nowMs: number = Date.now()): string {
  const same = new Date(ms).toDateString() === new Date(nowMs).toDateString();
  return same ? local.format(ms) : `${localDay.format(ms)}, ${local.format(ms)}`;
}

/** UTC time of day, with the day where it is not today in UTC. */
export function utcTime(ms: number, nowMs: number = Date.now()): string {
  const text = new Date(ms).toISOString();
  const same = text.slice(0, 10) === new Date(nowMs).toISOString().slice(0, 10);
  return `${same ? "" : `${text.slice(0, 10)} `}${text.slice(11, 19)} UTC`;
}

/** Local time and UTC beside it: people in one room read the one, and logs have the other. */
export function bothTimes(ms: number, nowMs: number = Date.now()): string {
  return `${localTime(ms, nowMs)} (${utcTime(ms, nowMs)})`;
}

/** Age in the largest unit that tells enough: `now`, `12 s`, `3 min`, `2 h`, `5 d`. */
export function age(seconds: number): string {
  if (seconds < -1) return words.ahead(Math.round(-seconds));
  if (seconds < 1.5) return words.justNow;
  if (seconds < 100) return words.seconds(Math.round(seconds));
  if (seconds < 6000) return words.minutes(Math.round(seconds / 60));
  if (seconds < 172_800) return words.hours(Math.round(seconds / 3600));
  return words.days(Math.round(seconds / 86_400));
}
