/** Light, dark, or what the system says. Kept in the browser, applied before the first render. */
import { useSyncExternalStore } from "react";
import { readStored, writeStored } from "@/lib/storage";

export type Theme = "system" | "light" | "dark";

const KEY = "mailtide-theme";
const listeners = new Set<() => void>();

function isTheme(value: string | null): value is Theme {
  return value === "system" || value === "light" || value === "dark";
}

export function readTheme(): Theme {
  const stored = readStored(KEY);
  return isTheme(stored) ? stored : "system";
}

export function applyTheme(theme: Theme = readTheme()): void {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
}

export function setTheme(theme: Theme): void {
  writeStored(KEY, theme);
  applyTheme(theme);
  for (const listener of listeners) listener();
}

export function useTheme(): Theme {
  return useSyncExternalStore((listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  }, readTheme);
}
