import { expect, test } from "vitest";
import { toInstant, toWallTime } from "@/lib/zoned";

const berlin = "Europe/Berlin";

test("a wall time in a zone is one instant", () => {
  expect(toInstant({ date: "2026-11-24", time: "09:00", zone: berlin })).toEqual({
    kind: "at",
    at: new Date("2026-11-24T08:00:00Z"),
  });
});

test("a time that the clocks skip is refused", () => {
  expect(toInstant({ date: "2027-03-28", time: "02:30", zone: berlin }).kind).toBe("fault");
});

test("a time that comes twice means the first, and says so", () => {
  const found = toInstant({ date: "2026-10-25", time: "02:30", zone: berlin });
  expect(found).toMatchObject({ kind: "at", at: new Date("2026-10-25T00:30:00Z") });
  expect(found).toHaveProperty("note");
});

test("what is not filled in is a fault", () => {
  expect(toInstant({ date: "", time: "09:00", zone: berlin }).kind).toBe("fault");
});

test("an instant and its wall time are each other's inverse", () => {
  const at = new Date("2026-07-01T22:15:00Z");
  expect(toInstant(toWallTime(at, "Asia/Kolkata"))).toEqual({ kind: "at", at });
});
