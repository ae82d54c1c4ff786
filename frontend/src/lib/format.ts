/** Every number, date and span that a person reads is formatted here and nowhere else. */

const whole = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** 1234567 → "1,234,567". */
export function formatCount(count: number): string {
  return whole.format(count);
}

/** 1234567 → "1.2M": for axes and tight places. */
export function formatCompact(count: number): string {
  return short.format(count);
}

/** A part of a whole as "12.3%"; never "100%" while something is missing, never "0%" when something is there. */
export function formatShare(part: number, total: number): string {
  if (total <= 0 || part <= 0) return "0%";
  if (part >= total) return "100%";
  const percent = (part / total) * 100;
  if (percent < 0.1) return "<0.1%";
  if (percent > 99.9) return ">99.9%";
  return `${percent < 10 || percent > 99 ? percent.toFixed(1) : Math.round(percent)}%`;
}

/** Messages per second: one decimal below ten, and never "0.0" for a slow campaign. */
export function formatRate(perSecond: number): string {
  if (perSecond === 0) return "0";
  if (perSecond < 0.1) return String(Number(perSecond.toPrecision(2)));
  return perSecond < 10 ? perSecond.toFixed(1) : whole.format(perSecond);
}

const SIZES = ["B", "kB", "MB", "GB"] as const;

export function formatBytes(sizeBytes: number): string {
  let size = sizeBytes;
  let at = 0;
  while (size >= 1000 && at < SIZES.length - 1) {
    size /= 1000;
    at += 1;
  }
  return `${at > 0 && size < 10 ? size.toFixed(1) : Math.round(size)} ${SIZES[at]}`;
}

/** The zone of the person who looks. */
export function viewerZone(): string {
  return Intl.DateTimeFormat().resolvedOptions().timeZone;
}

type Parts = Record<"weekday" | "day" | "month" | "year" | "hour" | "minute" | "second", string>;

const formatters = new Map<string, Intl.DateTimeFormat>();

/** The parts of an instant in a zone. Intl, because it is in every browser; a formatter costs more than its use, so it is kept. */
function partsOf(at: Date, zone: string | undefined = undefined, weekday: "short" | "long" = "short"): Parts {
  const key = `${zone}/${weekday}`;
  let formatter = formatters.get(key);
  if (formatter === undefined) {
    formatter = new Intl.DateTimeFormat("en-US", {
      weekday,
      day: "numeric",
      month: "short",
      year: "numeric",
      hour: "2-digit",
      minute: "2-digit",
      second: "2-digit",
      hourCycle: "h23",
      ...(zone === undefined ? {} : { timeZone: zone }),
    });
    formatters.set(key, formatter);
  }
  const found = new Map<string, string>(formatter.formatToParts(at).map(({ type, value }) => [type, value]));
  const get = (name: keyof Parts) => found.get(name) ?? "";
  return {
    weekday: get("weekday"),
    day: get("day"),
    month: get("month"),
    year: get("year"),
    hour: get("hour"),
    minute: get("minute"),
    second: get("second"),
  };
}

/** "14:03:12": for instants of today that matter to the second. */
export function formatClock(at: Date): string {
  const { hour, minute, second } = partsOf(at);
  return `${hour}:${minute}:${second}`;
}

/** "14:03". */
export function formatHour(at: Date): string {
  const { hour, minute } = partsOf(at);
  return `${hour}:${minute}`;
}

/** "Tue 14:03": an hour of the last days. */
export function formatWeekHour(at: Date): string {
  return `${partsOf(at).weekday} ${formatHour(at)}`;
}

/** "today 14:03", "tomorrow 09:00", "Tue 24 Nov, 09:00", with the year when it is another one. */
export function formatWhen(at: Date, now: Date = new Date()): string {
  const day = (date: Date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  const days = Math.round((day(at) - day(now)) / 86_400_000);
  const near = ["yesterday", "today", "tomorrow"][days + 1];
  if (near !== undefined) return `${near} ${formatHour(at)}`;
  const parts = partsOf(at);
  const isSameYear = at.getFullYear() === now.getFullYear();
  return isSameYear
    ? `${parts.weekday} ${parts.day} ${parts.month}, ${formatHour(at)}`
    : `${parts.day} ${parts.month} ${parts.year}, ${formatHour(at)}`;
}

/** "24 Nov 2026, 14:03:12": the whole truth, in the viewer's zone. */
export function formatExact(at: Date): string {
  const { day, month, year } = partsOf(at);
  return `${day} ${month} ${year}, ${formatClock(at)}`;
}

/** "2026-11-24 13:03:12 UTC". */
export function formatUtc(at: Date): string {
  return `${at.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

/** "Tuesday 24 Nov 2026, 09:00 Berlin": a wall time in a named zone; with its seconds when there are some. */
export function formatInZone(at: Date, zone: string): string {
  const { weekday, day, month, year, hour, minute, second } = partsOf(at, zone, "long");
  const time = second === "00" ? `${hour}:${minute}` : `${hour}:${minute}:${second}`;
  return `${weekday} ${day} ${month} ${year}, ${time} ${formatZone(zone)}`;
}

/** A wall time that is kept as if it were UTC: its day, "Sunday 28 Mar 2027". */
export function formatWallDay(wall: Date): string {
  const { weekday, day, month, year } = partsOf(wall, "UTC", "long");
  return `${weekday} ${day} ${month} ${year}`;
}

/** The same wall time's clock: "02:30", or "02:30:15". */
export function formatWallTime(wall: Date): string {
  return wall.toISOString().slice(11, 19).replace(/:00$/, "");
}

/** "Europe/Berlin" → "Berlin", "America/Argentina/Buenos_Aires" → "Buenos Aires". */
export function formatZone(zone: string): string {
  return (zone.split("/").at(-1) ?? zone).replaceAll("_", " ");
}

/** 22_320 s → "6 h 12 min": at most two units, so that it reads as speech. */
export function formatSpan(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s < 60) return `${s} s`;
  const minutes = Math.floor(s / 60);
  if (minutes < 60) return s % 60 === 0 || minutes >= 10 ? `${minutes} min` : `${minutes} min ${s % 60} s`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours} h` : `${hours} h ${minutes % 60} min`;
  const days = Math.floor(hours / 24);
  return hours % 24 === 0 ? `${days} days` : `${days} days ${hours % 24} h`;
}

/** "in 6 h 12 min", "3 min ago", "now". */
export function formatRelative(at: Date, now: Date = new Date()): string {
  const seconds = (at.getTime() - now.getTime()) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `in ${formatSpan(seconds)}` : `${formatSpan(-seconds)} ago`;
}

/** A running countdown: "06:12:09", or "2 days 6 h" when it is far. */
export function formatCountdown(at: Date, now: Date): string {
  const left = Math.max(0, Math.ceil((at.getTime() - now.getTime()) / 1000));
  if (left >= 48 * 3600) return formatSpan(left);
  const two = (part: number) => String(part).padStart(2, "0");
  const hours = Math.floor(left / 3600);
  const rest = `${two(Math.floor((left % 3600) / 60))}:${two(left % 60)}`;
  return hours > 0 ? `${two(hours)}:${rest}` : rest;
}

/** "12 ms", "1.4 s": how late something was. */
export function formatMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
}

/** A limit as speech: "1,000 per hour", "20 per minute", "50 per 90 s". */
export function formatLimit(limit: number, windowS: number): string {
  if (limit === 0) return "no limit";
  const named: Record<number, string> = { 1: "second", 60: "minute", 3600: "hour", 86400: "day" };
  return `${formatCount(limit)} per ${named[windowS] ?? formatSpan(windowS)}`;
}

/** "1 recipient", "2 recipients". */
export function plural(count: number, one: string, many = `${one}s`): string {
  return `${formatCount(count)} ${count === 1 ? one : many}`;
}

/** A subject as a person reads it in a list: "Hello {{ first_name|default('reader') }}" → "Hello ‹first_name›". */
export function formatTemplate(source: string): string {
  return source.replace(/\{\{-?\s*([A-Za-z_][A-Za-z0-9_]*)[^}]*\}\}/g, "‹$1›");
}
