/** Wall time in a named zone ⇄ instant, with the two days a year on which they disagree. */
import { tz, tzOffset } from "@date-fns/tz";
import { format } from "date-fns";
import { formatWallDay, formatWallTime, formatZone } from "@/lib/format";

/**
 * What a person picks: date "2026-11-24", time "09:00" or "09:00:30", zone "Europe/Berlin". `of` is the instant that it was
 * made from: while it still says that time, it means that instant, also when the clocks show the time twice.
 */
export type WallTime = { date: string; time: string; zone: string; of?: Date };

export type Instant = { kind: "at"; at: Date; note?: string } | { kind: "fault"; fault: string };

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

/** The instant of a wall time; a time that the clocks skip is a fault, one that comes twice means the first. */
export function toInstant({ date, time, zone, of }: WallTime): Instant {
  if (of !== undefined && isSameWall({ date, time, zone }, toWallTime(of, zone))) return { kind: "at", at: of };
  const wallMs = readWall(date, time);
  if (wallMs === null) return { kind: "fault", fault: "Choose a date and a time." };
  if (Number.isNaN(wallMs)) return { kind: "fault", fault: "This is not a date of the calendar." };
  const change = findClockChange(wallMs, zone);
  if (change === null) return { kind: "at", at: new Date(wallMs - offsetMs(zone, wallMs)) };
  // By the clock as it was before the change, and by the clock as it is after it.
  const early = wallMs - change.beforeMs;
  const late = wallMs - change.afterMs;
  if (early < change.at && late >= change.at) {
    return { kind: "at", at: new Date(early), note: describeTwice(change, wallMs, zone) };
  }
  if (early < change.at) return { kind: "at", at: new Date(early) };
  if (late >= change.at) return { kind: "at", at: new Date(late) };
  return { kind: "fault", fault: describeGap(change, wallMs, zone) };
}

/** The wall time as if it were UTC, in ms; null when something is not filled in, NaN when there is no such day. */
function readWall(date: string, time: string): number | null {
  const [, year, month, day, hour, minute, second = "0"] =
    `${date} ${time}`.match(/^(\d{4})-(\d\d)-(\d\d) (\d\d):(\d\d)(?::(\d\d))?(?:\.\d+)?$/) ?? [];
  if (year === undefined) return null;
  const ms = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  return new Date(ms).toISOString().startsWith(date) ? ms : Number.NaN;
}

/** When the clocks are put forward or back, and what they are ahead of UTC on either side. */
type ClockChange = { at: number; beforeMs: number; afterMs: number };

/** The change of the clocks within a day of a wall time, to the second; null when there is none. */
function findClockChange(wallMs: number, zone: string): ClockChange | null {
  let low = wallMs - DAY_MS;
  let high = wallMs + DAY_MS;
  const beforeMs = offsetMs(zone, low);
  const afterMs = offsetMs(zone, high);
  if (beforeMs === afterMs) return null;
  while (high - low > 1000) {
    const middle = low + Math.round((high - low) / 2000) * 1000;
    if (offsetMs(zone, middle) === beforeMs) low = middle;
    else high = middle;
  }
  return { at: high, beforeMs, afterMs };
}

/** How far the clocks of a zone are ahead of UTC at an instant, in ms. */
function offsetMs(zone: string, ms: number): number {
  return tzOffset(zone, new Date(ms)) * MINUTE_MS;
}

/** "On Sunday 28 Mar 2027 the clocks in Berlin go from 02:00 to 03:00" */
function describeChange({ at, beforeMs, afterMs }: ClockChange, zone: string): string {
  const from = new Date(at + beforeMs);
  const verb = afterMs > beforeMs ? "go forward" : "go back";
  return `On ${formatWallDay(from)} the clocks in ${formatZone(zone)} ${verb} from ${formatWallTime(from)} to ${formatWallTime(new Date(at + afterMs))}`;
}

function describeGap(change: ClockChange, wallMs: number, zone: string): string {
  const later = formatWallTime(new Date(wallMs + change.afterMs - change.beforeMs));
  return `${describeChange(change, zone)}, so ${formatWallTime(new Date(wallMs))} does not exist. Choose another time, ${later} for example.`;
}

function describeTwice(change: ClockChange, wallMs: number, zone: string): string {
  return `${describeChange(change, zone)}, so ${formatWallTime(new Date(wallMs))} comes twice: the first one is meant.`;
}

export function toWallTime(at: Date, zone: string): WallTime {
  const time = format(at, "HH:mm:ss", { in: tz(zone) });
  return { date: format(at, "yyyy-MM-dd", { in: tz(zone) }), time: time.replace(/:00$/, ""), zone, of: at };
}

/** A browser writes a full minute as "09:00" or as "09:00:00". */
function isSameWall(one: WallTime, other: WallTime): boolean {
  return readWall(one.date, one.time) === readWall(other.date, other.time);
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
