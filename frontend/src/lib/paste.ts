/** What a person pastes: addresses in any order, or a small table with a head. */
import Papa from "papaparse";
import { guessMapping } from "@/lib/guess-mapping";

export type PastedContact = { email: string } & Record<string, string>;
export type Pasted = { contacts: PastedContact[]; bad: string[]; duplicates: number };

const ADDRESS = /^[^\s@<>,;"]+@[^\s@<>,;"]+\.[^\s@<>,;"]+$/;
const NAMED = /^\s*"?([^"<]*?)"?\s*<([^<>]+)>\s*$/;

/** Understand pasted text. A first line without an address is a head; else each part is an address, or "Name <address>". */
export function readPasted(text: string): Pasted {
  const firstLine = text.trim().split("\n", 1)[0] ?? "";
  const found =
    !firstLine.includes("@") && text.includes("@") && text.trim().includes("\n") ? readTable(text) : readLoose(text);
  const contacts = new Map<string, PastedContact>();
  let duplicates = 0;
  for (const contact of found.contacts) {
    const key = contact.email.toLowerCase();
    if (contacts.has(key)) duplicates += 1;
    contacts.set(key, contact);
  }
  return { contacts: [...contacts.values()], bad: found.bad, duplicates };
}

function readTable(text: string): { contacts: PastedContact[]; bad: string[] } {
  const [columns = [], ...rows] = Papa.parse<string[]>(text.trim(), { skipEmptyLines: "greedy" }).data;
  const targets = guessMapping(columns, rows);
  const contacts: PastedContact[] = [];
  const bad: string[] = [];
  for (const row of rows) {
    const contact: Record<string, string> = {};
    let email = "";
    targets.forEach((target, at) => {
      const cell = row[at]?.trim() ?? "";
      if (target.kind === "email") email = cell;
      else if (target.kind === "attribute" && cell !== "") contact[target.name] = cell;
    });
    if (ADDRESS.test(email)) contacts.push({ ...contact, email });
    else bad.push(row.join(", "));
  }
  return { contacts, bad };
}

function readLoose(text: string): { contacts: PastedContact[]; bad: string[] } {
  const contacts: PastedContact[] = [];
  const bad: string[] = [];
  for (const part of text.split(/[\n,;\t]+/)) {
    const piece = part.trim();
    if (piece === "") continue;
    const named = piece.match(NAMED);
    const email = (named?.[2] ?? piece).trim();
    const name = named?.[1]?.trim();
    if (!ADDRESS.test(email)) bad.push(piece);
    else contacts.push(name ? { email, name } : { email });
  }
  return { contacts, bad };
}
