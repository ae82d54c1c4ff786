import { expect, test } from "vitest";

/** Every file of the dashboard, by its path below `src`. */
const SOURCES = Object.fromEntries(
  Object.entries(
    import.meta.glob<string>("../../**/*.{ts,tsx}", { query: "?raw", import: "default", eager: true }),
  ).map(([path, source]) => [path.replace("../../", ""), source]),
);

/** ui, lib ← api ← features ← pages ← app: each may import what stands before it. `ui` and `lib` are one floor. */
const FLOORS: Record<string, string[]> = {
  lib: ["lib"],
  ui: ["lib", "ui"],
  api: ["lib", "api"],
  features: ["lib", "ui", "api", "features"],
  pages: ["lib", "ui", "api", "features", "pages"],
  app: ["lib", "ui", "api", "features", "pages", "app"],
};

/** Tests stand beside what they test, and may reach up for the whole dashboard; so may `testing`. */
const isTest = (path: string) => /(^|\/)tests\//.test(path) || path.startsWith("testing/");

type Arrow = { from: string; to: string };

function arrows(): Arrow[] {
  return Object.entries(SOURCES)
    .filter(([path]) => !isTest(path))
    .flatMap(([from, source]) =>
      [...source.matchAll(/(?:from|import)\s*\(?\s*"([^"]+)"/g)].map((match) => ({ from, to: match[1] ?? "" })),
    );
}

test("there is something to look at", () => {
  expect(Object.keys(SOURCES).length).toBeGreaterThan(80);
  expect(arrows().filter(({ to }) => to.startsWith("@/")).length).toBeGreaterThan(300);
});

test("no floor imports one above it", () => {
  const bad = arrows().filter(({ from, to }) => {
    const floor = FLOORS[from.split("/")[0] ?? ""];
    return to.startsWith("@/") && floor !== undefined && !floor.includes(to.split("/")[1] ?? "");
  });
  // The mock mode is the one door to `testing`, and no build goes through it.
  expect(bad.filter(({ to }) => to !== "@/testing/mock-mode")).toEqual([]);
});

test("features do not import one another", () => {
  const featureOf = (path: string) => path.match(/^(?:@\/)?features\/([^/]+)\//)?.[1];
  const bad = arrows().filter(({ from, to }) => {
    const [own, other] = [featureOf(from), featureOf(to)];
    return own !== undefined && other !== undefined && own !== other;
  });
  expect(bad).toEqual([]);
});

test("every import within the dashboard says where it comes from", () => {
  const relative = arrows().filter(({ to }) => to.startsWith("../") || (to.startsWith("./") && !to.endsWith(".css")));
  expect(relative.filter(({ from }) => !from.startsWith("api/generated/"))).toEqual([]);
});
