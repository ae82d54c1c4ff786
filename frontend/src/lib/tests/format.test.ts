import { expect, test } from "vitest";
import {
  formatBytes,
  formatCountdown,
  formatInZone,
  formatLimit,
  formatRate,
  formatShare,
  formatSpan,
  formatWhen,
} from "@/lib/format";

test.each([
  [0, 10, "0%"],
  [1, 100_000, "<0.1%"],
  [99_999, 100_000, ">99.9%"],
  [10, 10, "100%"],
  [42, 100, "42%"],
  [5, 100, "5.0%"],
])("%d of %d is %s", (part, total, text) => {
  expect(formatShare(part, total)).toBe(text);
});

test.each([
  [42, "42 s"],
  [90, "1 min 30 s"],
  [22_320, "6 h 12 min"],
  [7200, "2 h"],
  [3 * 86_400, "3 days"],
])("%d seconds read as %s", (seconds, text) => {
  expect(formatSpan(seconds)).toBe(text);
});

test("a limit reads as speech", () => {
  expect(formatLimit(1000, 3600)).toBe("1,000 per hour");
  expect(formatLimit(0, 60)).toBe("no limit");
});

test("days near today have names", () => {
  const now = new Date(2026, 10, 24, 12, 0);
  expect(formatWhen(new Date(2026, 10, 25, 9, 0), now)).toBe("tomorrow 09:00");
  expect(formatWhen(new Date(2026, 10, 24, 0, 5), now)).toBe("today 00:05");
  expect(formatWhen(new Date(2026, 10, 30, 9, 0), now)).toBe("Mon 30 Nov, 09:00");
  expect(formatWhen(new Date(2027, 0, 2, 9, 0), now)).toBe("2 Jan 2027, 09:00");
});

test("a wall time names its place", () => {
  expect(formatInZone(new Date("2026-11-24T08:00:00Z"), "Europe/Berlin")).toBe("Tuesday 24 Nov 2026, 09:00 Berlin");
});

test("a countdown runs in hours, minutes and seconds", () => {
  const now = new Date(0);
  expect(formatCountdown(new Date(3_723_000), now)).toBe("01:02:03");
  expect(formatCountdown(new Date(65_000), now)).toBe("01:05");
});

test("sizes have the unit that people use", () => {
  expect(formatBytes(200_000_000)).toBe("200 MB");
  expect(formatBytes(1500)).toBe("1.5 kB");
});

test.each([
  [0, "0"],
  [0.0028, "0.0028"],
  [0.33, "0.3"],
  [830.4, "830"],
])("%d messages per second read as %s", (rate, text) => {
  expect(formatRate(rate)).toBe(text);
});

test("a wall time in a zone shows its seconds when there are some", () => {
  expect(formatInZone(new Date("2026-11-24T08:00:00Z"), "Europe/Berlin")).toBe("Tuesday 24 Nov 2026, 09:00 Berlin");
  expect(formatInZone(new Date("2026-11-24T08:00:30Z"), "Europe/Berlin")).toBe("Tuesday 24 Nov 2026, 09:00:30 Berlin");
});
