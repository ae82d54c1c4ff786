// Fails when what the browser must load before the first page exceeds the budget: the entry script, everything that
// it imports statically, the style sheets and the fonts that the first paint uses, each gzipped.
import { readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";

const BUDGET_BYTES = 200_000;
const dist = new URL("../dist/", import.meta.url);
const read = (path) => readFileSync(new URL(path.replace(/^\//, ""), dist));

const html = read("index.html").toString();
const wanted = [...html.matchAll(/(?:src|href)="(\/assets\/[^"]+)"/g)].map((match) => match[1]);
const seen = new Set();
while (wanted.length > 0) {
  const path = wanted.pop();
  if (seen.has(path)) continue;
  seen.add(path);
  if (!path.endsWith(".js")) continue;
  const source = read(path).toString();
  for (const match of source.matchAll(/(?:^|[;}])import(?:[^"'()]*?from)?["']\.\/([^"']+\.js)["']/g)) {
    wanted.push(`/assets/${match[1]}`);
  }
}
for (const name of readdirSync(new URL("assets/", dist))) {
  if (/\.woff2$/.test(name)) seen.add(`/assets/${name}`);
}

let total = 0;
for (const path of [...seen].sort()) {
  const size = gzipSync(read(path)).length;
  total += size;
  console.log(`${String(size).padStart(8)}  ${path}`);
}
console.log(`${String(total).padStart(8)}  first load, gzip (budget ${BUDGET_BYTES})`);
if (total > BUDGET_BYTES) {
  console.error(`The first load is ${total - BUDGET_BYTES} bytes over its budget: load something later.`);
  process.exit(1);
}
