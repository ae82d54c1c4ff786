import { expect, test } from "vitest";
import { readPasted } from "@/lib/paste";

test("addresses in any order, each once", () => {
  const found = readPasted("ada@mail.example, grace@mail.example;ada@mail.example\nno address");
  expect(found.contacts.map((contact) => contact.email)).toEqual(["ada@mail.example", "grace@mail.example"]);
  expect(found.duplicates).toBe(1);
  expect(found.bad).toEqual(["no address"]);
});

test("a name before the address becomes the merge tag name", () => {
  expect(readPasted("Ada Lovelace <ada@mail.example>").contacts).toEqual([
    { email: "ada@mail.example", name: "Ada Lovelace" },
  ]);
});

test("a table with a head gives merge tags", () => {
  expect(readPasted("Mail\tVorname\nada@mail.example\tAda").contacts).toEqual([
    { email: "ada@mail.example", first_name: "Ada" },
  ]);
});

test("nothing is nothing", () => {
  expect(readPasted("  ")).toEqual({ contacts: [], bad: [], duplicates: 0 });
});
