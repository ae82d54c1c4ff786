import { describe, expect, test } from "vitest";
import { findMappingFault, guessMapping, toAttributeName, toServerMapping } from "@/lib/guess-mapping";

const rows = [["ada@mail.example", "Ada", "Deichstraße 1"]];

describe("guessing what columns mean", () => {
  test.each([
    "E-Mail",
    "email address",
    "EMAIL",
    "Mail",
    "e_mail",
    "Adresse",
    "Email Adresse",
    "correo electrónico",
    "whatever",
  ])("%s with addresses in it is the address", (column) => {
    expect(guessMapping([column, "Vorname", "Strasse"], rows)[0]).toEqual({ kind: "email" });
  });

  test("a column named Adresse with streets in it is not the address", () => {
    expect(guessMapping(["Adresse", "Kontakt"], [["Deichstraße 1", "ada@mail.example"]])).toEqual([
      { kind: "attribute", name: "adresse" },
      { kind: "email" },
    ]);
  });

  test.each([
    ["Vorname", "first_name"],
    ["First Name", "first_name"],
    ["Nachname", "last_name"],
    ["Prénom", "first_name"],
    ["Firma", "company"],
    ["Straße & Nr.", "strasse_nr"],
    ["2nd phone", "_2nd_phone"],
    ["email", "column_2"],
  ])("%s becomes %s", (column, name) => {
    expect(guessMapping(["E-Mail", column], [["ada@mail.example", "x"]])[1]).toEqual({ kind: "attribute", name });
  });

  test("two columns never become the same tag", () => {
    const targets = guessMapping(["mail", "First", "Vorname"], [["ada@mail.example", "Ada", "Ada"]]);
    expect(findMappingFault(targets)).toBeNull();
  });

  test("names that no tag can have are replaced", () => {
    expect(toAttributeName("→", 4)).toBe("column_5");
  });

  test("the server gets tag to column, without what is left out", () => {
    expect(toServerMapping(["Mail", "X"], [{ kind: "email" }, { kind: "skip" }])).toEqual({ email: "Mail" });
  });

  test("no address column is a fault with a sentence", () => {
    expect(findMappingFault(guessMapping(["a", "b"], [["1", "2"]]))).toMatch(/Choose the column/);
  });
});
