import { expect, test } from "vitest";
import { previewCsv } from "@/lib/csv-preview";

const file = (...parts: BlobPart[]) => new File(parts, "a.csv");

test("the delimiter and the encoding are found out", async () => {
  const latin = new Uint8Array([
    ...new TextEncoder().encode("Name;Mail\nJ"),
    0xfc,
    ...new TextEncoder().encode("rgen;j@mail.example\n"),
  ]);
  expect(await previewCsv(file(latin))).toEqual({
    columns: ["Name", "Mail"],
    rows: [["Jürgen", "j@mail.example"]],
    delimiter: ";",
    encoding: "Windows-1252",
  });
});

test("quoted line breaks stay in their cell", async () => {
  const { rows } = await previewCsv(file('mail,note\na@mail.example,"two\nlines"\n'));
  expect(rows).toEqual([["a@mail.example", "two\nlines"]]);
});

test.each([
  ["an empty file", file(""), /empty/],
  ["a spreadsheet", file("PK\u0003\u0004"), /Save it as CSV/],
  ["a compressed file", file(new Uint8Array([0x1f, 0x8b, 8])), /Unpack/],
  ["a binary file", file("a\0b"), /not a text file/],
])("%s is refused with what to do", async (_, bad, message) => {
  await expect(previewCsv(bad)).rejects.toThrow(message);
});
