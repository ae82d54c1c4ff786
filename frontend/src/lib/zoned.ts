/** Wall time in a named zone ⇄ instant, with the two days a year on which they disagree. */
import { TZDate, tz } from "@date-fns/tz";
import { format, isValid } from "date-fns";

/** What a person picks: date "2026-11-24", time "09:00", zone "Europe/Berlin". */
export type WallTime = { date: string; time: string; zone: string };

export type Instant = { kind: "at"; at: Date; note?: string } | { kind: "fault"; fault: string };

const HOUR_MS = 3_600_000;

/** The instant of a wall time; a time that the clocks skip is a fault, one that comes twice means the first. */
export function toInstant({ date, time, zone }: WallTime): Instant {
  const wall = `${date} ${time.slice(0, 5)}`;
  const parts = wall
    .match(/^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d)$/)
    ?.slice(1)
    .map(Number);
  if (!parts) return { kind: "fault", fault: "Choose a date and a time." };
  const [year = 0, month = 1, day = 1, hour = 0, minute = 0] = parts;
  const guess = new TZDate(year, month - 1, day, hour, minute, zone);
  if (!isValid(guess)) return { kind: "fault", fault: "This is not a date of the calendar." };
  const reads = (ms: number) => format(new Date(ms), "yyyy-MM-dd HH:mm", { in: tz(zone) }) === wall;
  const ms = guess.getTime();
  if (!reads(ms)) {
    return { kind: "fault", fault: "The clocks are put forward then: this time does not exist there. Choose another." };
  }
  if (reads(ms - HOUR_MS)) return { kind: "at", at: new Date(ms - HOUR_MS), note: TWICE };
  if (reads(ms + HOUR_MS)) return { kind: "at", at: new Date(ms), note: TWICE };
  return { kind: "at", at: new Date(ms) };
}

const TWICE = "The clocks are put back then, so this time comes twice: the first one is meant.";

export function toWallTime(at: Date, zone: string): WallTime {
  return { date: format(at, "yyyy-MM-dd", { in: tz(zone) }), time: format(at, "HH:mm", { in: tz(zone) }), zone };
}

/** All zones that this browser knows, UTC included. */
export function listZones(): string[] {
  const known = Intl.supportedValuesOf("timeZone");
  return known.includes("UTC") ? known : ["UTC", ...known];
}

/** "+01:00" at that instant. */
export function zoneOffset(zone: string, at: Date): string {
  return format(at, "xxx", { in: tz(zone) });
}
