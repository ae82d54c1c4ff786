import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const styles = readFileSync("src/app/styles.css", "utf8");

type Rgba = [number, number, number, number];
type Scheme = "light" | "dark";
const SCHEMES: Scheme[] = ["light", "dark"];

/** "#e9effb", "rgb(30 41 82 / 0.11)" → red, green, blue of 255 and opacity of 1. */
function readColor(text: string): Rgba {
  const hex = text.match(/^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i);
  if (hex)
    return [Number.parseInt(hex[1] ?? "", 16), Number.parseInt(hex[2] ?? "", 16), Number.parseInt(hex[3] ?? "", 16), 1];
  const [red = Number.NaN, green = Number.NaN, blue = Number.NaN, alpha = 1] = (text.match(/[\d.]+/g) ?? []).map(
    Number,
  );
  return [red, green, blue, alpha];
}

/** The value of a token in one scheme. */
function token(name: string, scheme: Scheme): Rgba {
  const value = styles.match(new RegExp(`--${name}:\\s*(.+?);`))?.[1] ?? "";
  const pair = value.match(/^light-dark\((#\w+|rgb\([^)]*\)), (#\w+|rgb\([^)]*\))\)$/);
  return readColor((pair ? pair[scheme === "light" ? 1 : 2] : value) ?? "");
}

function over([red, green, blue, alpha]: Rgba, below: Rgba): Rgba {
  const mix = (upper: number, lower: number) => upper * alpha + lower * (1 - alpha);
  return [mix(red, below[0]), mix(green, below[1]), mix(blue, below[2]), 1];
}

/** WCAG 2.2, relative luminance. */
function luminance([red, green, blue]: Rgba): number {
  const [r = 0, g = 0, b = 0] = [red, green, blue].map((part) => {
    const share = part / 255;
    return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: Rgba, b: Rgba): number {
  const [high = 0, low = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

/** Every surface that a text can lie on: each level of glass over each part of the backdrop. */
function surfaces(scheme: Scheme): Array<{ name: string; color: Rgba }> {
  const backdrops = ["page", "blob-1", "blob-2", "blob-3"].map((name) => ({ name, color: token(name, scheme) }));
  const sheets = ["glass-1", "glass-2", "glass-3", "sunken"];
  return backdrops.flatMap((backdrop) => [
    backdrop,
    ...sheets.map((sheet) => ({
      name: `${sheet} on ${backdrop.name}`,
      color: over(
        token(sheet, scheme),
        sheet === "sunken" ? over(token("glass-1", scheme), backdrop.color) : backdrop.color,
      ),
    })),
  ]);
}

/** What a text colour is laid upon besides the bare surface. */
const TINTS = {
  good: "good-soft",
  warn: "warn-soft",
  bad: "bad-soft",
  info: "info-soft",
  accent: "accent-soft",
} as const;

function faults(scheme: Scheme): string[] {
  const found: string[] = [];
  const check = (text: string, name: string, below: Rgba) => {
    const ratio = contrast(over(token(text, scheme), below), below);
    if (!(ratio >= 4.5)) found.push(`${text} on ${name}: ${ratio.toFixed(2)}`);
  };
  for (const { name, color } of surfaces(scheme)) {
    for (const text of ["ink", "ink-2", "ink-3"]) {
      check(text, name, color);
      check(text, `hover on ${name}`, over(token("hover", scheme), color));
    }
    if (!name.startsWith("glass") && !name.startsWith("sunken")) continue;
    for (const [tone, tint] of Object.entries(TINTS)) {
      check(`${tone}-text`, name, color);
      check(`${tone}-text`, `${tint} on ${name}`, over(token(tint, scheme), color));
    }
  }
  return found;
}

test.each(SCHEMES)("every text can be read on every glass over every part of the backdrop: %s", (scheme) => {
  expect(surfaces(scheme).every(({ color }) => color.every(Number.isFinite))).toBe(true);
  expect(faults(scheme)).toEqual([]);
});

test.each(SCHEMES)("the chosen tab can be read, and told from the others: %s", (scheme) => {
  for (const backdrop of ["page", "blob-1", "blob-2", "blob-3"]) {
    const row = over(token("sunken", scheme), token(backdrop, scheme));
    const chosen = over(token("chosen", scheme), row);
    expect(contrast(token("ink", scheme), chosen)).toBeGreaterThanOrEqual(7);
    expect(contrast(chosen, row)).toBeGreaterThanOrEqual(scheme === "dark" ? 1.4 : 1.1);
  }
});

test.each(SCHEMES)("what stands on a filled button can be read: %s", (scheme) => {
  expect(contrast(token("accent-ink", scheme), token("accent-fill", scheme))).toBeGreaterThanOrEqual(4.5);
  expect(contrast(token("accent-ink", scheme), token("accent-hover", scheme))).toBeGreaterThanOrEqual(4.5);
  expect(contrast(readColor("#ffffff"), token("bad-fill", scheme))).toBeGreaterThanOrEqual(4.5);
});
