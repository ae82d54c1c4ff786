import { expect, test } from "vitest";
import { toInstant, toWallTime } from "@/lib/zoned";

const berlin = "Europe/Berlin";

test("a wall time in a zone is one instant", () => {
  expect(toInstant({ date: "2026-11-24", time: "09:00", zone: berlin })).toEqual({
    kind: "at",
    at: new Date("2026-11-24T08:00:00Z"),
  });
});

test("a wall time is exact to the second", () => {
  expect(toInstant({ date: "2026-11-24", time: "09:00:30", zone: berlin })).toEqual({
    kind: "at",
    at: new Date("2026-11-24T08:00:30Z"),
  });
  expect(toWallTime(new Date("2026-11-24T08:00:30Z"), berlin).time).toBe("09:00:30");
});

test("a time that the clocks skip is refused with what they do, and with one that exists", () => {
  expect(toInstant({ date: "2027-03-28", time: "02:30", zone: berlin })).toEqual({
    kind: "fault",
    fault:
      "On Sunday 28 Mar 2027 the clocks in Berlin go forward from 02:00 to 03:00, so 02:30 does not exist. Choose another time, 03:30 for example.",
  });
});

test("a time that comes twice means the first, and says so", () => {
  expect(toInstant({ date: "2026-10-25", time: "02:30", zone: berlin })).toEqual({
    kind: "at",
    at: new Date("2026-10-25T00:30:00Z"),
    note: "On Sunday 25 Oct 2026 the clocks in Berlin go back from 03:00 to 02:00, so 02:30 comes twice: the first one is meant.",
  });
});

test.each([
  ["half an hour forward", "Australia/Lord_Howe", "2026-10-04", "02:15", "fault"],
  ["half an hour back", "Australia/Lord_Howe", "2026-04-05", "01:45", "at"],
  ["at midnight", "America/Santiago", "2026-09-06", "00:30", "fault"],
])("clocks that change otherwise are understood: %s", (_, zone, date, time, kind) => {
  const found = toInstant({ date, time, zone });
  expect(found.kind).toBe(kind);
  expect(found.kind === "at" ? found.note : found.fault).toMatch(/the clocks in/);
});

test.each([
  ["the hour before", "01:59:59", "2027-03-28T00:59:59Z"],
  ["the hour after", "03:00", "2027-03-28T01:00:00Z"],
  ["the evening of the same day", "20:00", "2027-03-28T18:00:00Z"],
])("on the day of a change every other time is one instant: %s", (_, time, at) => {
  expect(toInstant({ date: "2027-03-28", time, zone: berlin })).toEqual({ kind: "at", at: new Date(at) });
});

test("a day that no calendar has is a fault", () => {
  expect(toInstant({ date: "2027-02-30", time: "09:00", zone: berlin }).kind).toBe("fault");
});

test("what is not filled in is a fault", () => {
  expect(toInstant({ date: "", time: "09:00", zone: berlin }).kind).toBe("fault");
});

test.each([
  ["on a summer's day", "Asia/Kolkata", "2026-07-01T22:15:00Z"],
  ["in the hour that comes twice, the first time", berlin, "2026-10-25T00:30:00Z"],
  ["in the hour that comes twice, the second time", berlin, "2026-10-25T01:30:00Z"],
])("an instant and its wall time are each other's inverse: %s", (_, zone, text) => {
  const at = new Date(text);
  expect(toInstant(toWallTime(at, zone))).toEqual({ kind: "at", at });
});

test("a wall time that was made from an instant and then changed means what it says now", () => {
  const wall = toWallTime(new Date("2026-10-25T01:30:00Z"), berlin);
  expect(toInstant({ ...wall, time: "02:45" })).toMatchObject({ kind: "at", at: new Date("2026-10-25T00:45:00Z") });
  expect(toInstant({ ...wall, zone: "UTC" })).toEqual({ kind: "at", at: new Date("2026-10-25T02:30:00Z") });
  expect(toInstant({ ...wall, time: "02:30:00" })).toEqual({ kind: "at", at: new Date("2026-10-25T01:30:00Z") });
});
