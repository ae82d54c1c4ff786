import { expect, test } from "vitest";
import { niceCeiling } from "@/ui/line-chart";

test.each([
  [0, 1],
  [0.0028, 0.003],
  [0.03, 0.04],
  [0.33, 0.4],
  [0.95, 1],
  [1, 1.5],
  [47, 50],
  [9990, 15_000],
])("the axis of a chart whose highest value is %d ends at %d", (high, end) => {
  expect(niceCeiling(high)).toBe(end);
});

test("the highest value is never cut and never lost at the bottom of the chart", () => {
  for (let high = 0.001; high < 100_000; high *= 1.07) {
    const end = niceCeiling(high);
    expect(end).toBeGreaterThanOrEqual(high * 1.04);
    expect(end).toBeLessThanOrEqual(high * 1.7);
  }
});
