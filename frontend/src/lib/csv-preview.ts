/** The first rows of a file, read in the browser within milliseconds, whatever its size. */
import Papa from "papaparse";

export type CsvPreview = { columns: string[]; rows: string[][]; delimiter: string; encoding: string };

/** Enough for the first rows of any sane file; never the whole of a large one. */
const HEAD_BYTES = 256 * 1024;
const ROWS_MAX = 20;

/** Raises an Error with a sentence when this is no table of text. */
export async function previewCsv(file: File): Promise<CsvPreview> {
  const head = new Uint8Array(await file.slice(0, HEAD_BYTES).arrayBuffer());
  if (head.length === 0) throw new Error("The file is empty.");
  if (head[0] === 0x50 && head[1] === 0x4b) {
    throw new Error(
      "This is a spreadsheet or a zip file. Save it as CSV first (in the spreadsheet: Save as… CSV UTF-8).",
    );
  }
  if (head[0] === 0x1f && head[1] === 0x8b) throw new Error("This file is compressed. Unpack it first.");
  const { text, encoding } = decode(head);
  if (text.includes("\0")) throw new Error("This is not a text file. Save your table as CSV first.");
  const isCut = file.size > head.length;
  const parsed = Papa.parse<string[]>(text, {
    preview: ROWS_MAX + 2,
    skipEmptyLines: "greedy",
    delimitersToGuess: [",", ";", "\t", "|"],
  });
  const [columns, ...rows] = parsed.data;
  if (columns === undefined) throw new Error("The file has no rows.");
  // A last line that was cut off in the middle would show half a cell.
  if (isCut && rows.length <= ROWS_MAX) rows.pop();
  return {
    columns: columns.map((column) => column.trim()),
    rows: rows.slice(0, ROWS_MAX),
    delimiter: parsed.meta.delimiter,
    encoding,
  };
}

function decode(head: Uint8Array): { text: string; encoding: string } {
  const [first, second] = head;
  if (first === 0xff && second === 0xfe) return { text: new TextDecoder("utf-16le").decode(head), encoding: "UTF-16" };
  if (first === 0xfe && second === 0xff) return { text: new TextDecoder("utf-16be").decode(head), encoding: "UTF-16" };
  try {
    // stream: a character cut at the end is no fault.
    return { text: new TextDecoder("utf-8", { fatal: true }).decode(head, { stream: true }), encoding: "UTF-8" };
  } catch {
    return { text: new TextDecoder("windows-1252").decode(head), encoding: "Windows-1252" };
  }
}
