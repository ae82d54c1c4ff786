/** Guess what the columns of a file mean: "E-Mail", "Vorname", "email address", "Adresse" … */

/** What a column becomes: the address, a merge tag of that name, or nothing. */
export type ColumnTarget = { kind: "email" } | { kind: "attribute"; name: string } | { kind: "skip" };

/** Names that people know, with what their columns are called in the wild (lower case, letters and digits only). */
const KNOWN: Array<{ name: string; words: string[] }> = [
  {
    name: "first_name",
    words: ["firstname", "first", "fname", "givenname", "forename", "vorname", "prenom", "nombre"],
  },
  {
    name: "last_name",
    words: [
      "lastname",
      "last",
      "lname",
      "surname",
      "familyname",
      "nachname",
      "familienname",
      "nom",
      "apellido",
      "apellidos",
    ],
  },
  { name: "name", words: ["name", "fullname", "displayname", "contactname", "contact"] },
  {
    name: "company",
    words: ["company", "companyname", "organisation", "organization", "firma", "unternehmen", "entreprise", "empresa"],
  },
  { name: "city", words: ["city", "town", "stadt", "ort", "ville", "ciudad"] },
  { name: "country", words: ["country", "land", "pays", "pais"] },
  { name: "phone", words: ["phone", "phonenumber", "telephone", "tel", "mobile", "telefon", "handy"] },
];
const EMAIL_WORDS = [
  "email",
  "emailaddress",
  "mail",
  "mailaddress",
  "emailadresse",
  "mailadresse",
  "eaddress",
  "correo",
  "correoelectronico",
  "courriel",
  "epost",
];
/** These may mean a street: they are the address only when the cells say so. */
const MAYBE_EMAIL_WORDS = [
  "adresse",
  "address",
  "direccion",
  "contact",
  "recipient",
  "to",
  "user",
  "username",
  "login",
];

const ADDRESS = /^[^\s@<>,;"]+@[^\s@<>,;"]+\.[^\s@<>,;"]+$/;
const ATTRIBUTE_NAME = /^[A-Za-z_][A-Za-z0-9_]{0,63}$/;

/** "E-Mail (privat)" → "emailprivat": case, accents and punctuation do not matter. */
function normalise(header: string): string {
  return header
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[^a-z0-9]/g, "");
}

/** A name that a merge tag can have: "Straße & Nr." → "strasse_nr". */
export function toAttributeName(header: string, position: number): string {
  const name = header
    .toLowerCase()
    .replaceAll("ß", "ss")
    .normalize("NFKD")
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/[^a-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "")
    .replace(/^(\d)/, "_$1")
    .slice(0, 64);
  return ATTRIBUTE_NAME.test(name) && name !== "email" ? name : `column_${position + 1}`;
}

/** One target for each column; at most one is the address, and no two attributes share a name. */
export function guessMapping(columns: string[], rows: string[][]): ColumnTarget[] {
  const emailAt = findEmailColumn(columns, rows);
  const taken = new Set<string>();
  return columns.map((column, at) => {
    if (at === emailAt) return { kind: "email" };
    const key = normalise(column);
    if (key === "" && rows.every((row) => !row[at]?.trim())) return { kind: "skip" };
    const known = KNOWN.find((each) => each.words.includes(key))?.name;
    let name = known ?? toAttributeName(column, at);
    if (taken.has(name)) name = `${toAttributeName(column, at)}_${at + 1}`.slice(-64);
    taken.add(name);
    return { kind: "attribute", name };
  });
}

/** Names first, but what the cells hold decides: a column named "Adresse" with streets in it is no address column. */
function findEmailColumn(columns: string[], rows: string[][]): number {
  const scores = columns.map((column, at) => {
    const key = normalise(column);
    const cells = rows.map((row) => row[at]?.trim() ?? "").filter((cell) => cell !== "");
    const share = cells.length === 0 ? 0 : cells.filter((cell) => ADDRESS.test(cell)).length / cells.length;
    const named = EMAIL_WORDS.includes(key)
      ? 1
      : key.includes("email") || key.includes("mail")
        ? 0.8
        : MAYBE_EMAIL_WORDS.includes(key)
          ? 0.3
          : 0;
    return cells.length > 0 && share === 0 ? 0 : share * 2 + named;
  });
  const best = Math.max(0, ...scores);
  return best > 0.5 ? scores.indexOf(best) : -1;
}

/** {"email": "E-Mail", "first_name": "Vorname"}: the shape that the server wants. */
export function toServerMapping(columns: string[], targets: ColumnTarget[]): Record<string, string> {
  const mapping: Record<string, string> = {};
  targets.forEach((target, at) => {
    const column = columns[at];
    if (column === undefined || target.kind === "skip") return;
    mapping[target.kind === "email" ? "email" : target.name] = column;
  });
  return mapping;
}

/** What is wrong with a choice of targets, as a sentence, or null. */
export function findMappingFault(targets: ColumnTarget[]): string | null {
  const emails = targets.filter((target) => target.kind === "email").length;
  if (emails === 0) return "Choose the column that holds the email address.";
  if (emails > 1) return "Only one column can be the email address.";
  const names = targets.flatMap((target) => (target.kind === "attribute" ? [target.name] : []));
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  return twice === undefined ? null : `Two columns would become {{ ${twice} }}: choose another for one of them.`;
}
