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

/** Age in plain units: `now`, `12 s`, `3 min`, `2 h`, `5 d`. */
export function age(seconds: number): string {
  if (seconds < -1) return words.ahead(span(-seconds));
  return seconds < 1.5 ? words.now : span(seconds);
}

/** Moment as long ago as `age` tells: `just now`, `12 s ago`, `3 s ahead`. */
export function ago(seconds: number): string {
  if (seconds < -1) return words.ahead(span(-seconds));
  return seconds < 1.5 ? words.justNow : words.ago(span(seconds));
}

/** A span of time in one unit; the larger one begins at two of it, as in what the server writes. */
export function span(seconds: number): string {
  const [whole, minutes, hours] = [1, 60, 3_600].map((unit) => Math.round(seconds / unit)) as [number, number, number];
  if (whole < 120) return words.seconds(whole);
  if (minutes < 120) return words.minutes(minutes);
  return hours < 48 ? words.hours(hours) : words.days(Math.round(seconds / 86_400));
}
