import { Search } from "lucide-react";
import { useEffect, useRef, useState } from "react";

type SearchFieldProps = { label: string; value: string; onSearch: (text: string) => void };

/** Waits until the typing pauses: one question to the server per thought, not per key. */
const PAUSE_MS = 250;

export function SearchField({ label, value, onSearch }: SearchFieldProps) {
  const [text, setText] = useState(value);
  // The URL may change from outside (back button): then the field follows it.
  const [seen, setSeen] = useState(value);
  if (value !== seen) {
    setSeen(value);
    setText(value);
  }
  // Whoever types and leaves within the pause is not to be brought back by their own question.
  const typedAt = useRef("");
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => {
      if (window.location.pathname === typedAt.current) onSearch(text);
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text, value, onSearch]);
  return (
    <label className="control flex !min-h-9 w-full cursor-text items-center gap-2 px-3 sm:w-64 pointer-coarse:!min-h-10">
      <Search aria-hidden className="size-4 shrink-0 text-ink-3" />
      <input
        type="search"
        aria-label={label}
        placeholder={label}
        value={text}
        onChange={(event) => {
          typedAt.current = window.location.pathname;
          setText(event.target.value);
        }}
        className="w-full min-w-0 bg-transparent text-sm text-ink outline-none"
      />
    </label>
  );
}
