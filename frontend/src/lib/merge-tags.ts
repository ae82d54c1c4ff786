/** Merge tags in a text, as far as a person needs to be told while typing; the server checks them for good. */

/** Always known, whatever the audience. */
export const ALWAYS_KNOWN = ["email", "unsubscribe_url"] as const;

const TAG = /\{\{-?\s*([A-Za-z_][A-Za-z0-9_]*)([^}]*)\}\}/g;

/** Names used without a `default`, and not known: their messages could not be written. */
export function unknownTags(source: string, known: ReadonlyArray<string>): string[] {
  const unknown = new Set<string>();
  for (const [, name = "", rest = ""] of source.matchAll(TAG)) {
    const isKnown = known.includes(name) || ALWAYS_KNOWN.some((each) => each === name);
    if (!isKnown && !/\|\s*default\b/.test(rest)) unknown.add(name);
  }
  return [...unknown];
}

/** Whether a tag was opened and not closed: somebody is still typing. */
export function hasOpenTag(source: string): boolean {
  return /\{\{[^}]*$/.test(source) || /\{%[^%]*$/.test(source);
}
