/** One ticking clock for everything on the page that counts down. */
import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
let timer: ReturnType<typeof setInterval> | undefined;
let nowMs = Date.now();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  if (timer === undefined) {
    nowMs = Date.now();
    timer = setInterval(() => {
      nowMs = Date.now();
      for (const each of listeners) each();
    }, 1000);
  }
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = undefined;
    }
  };
}

/** The present, renewed each second while someone looks. */
export function useNow(): Date {
  const ms = useSyncExternalStore(subscribe, () => (timer === undefined ? roundedNow() : nowMs));
  return new Date(ms);
}

function roundedNow(): number {
  // A snapshot must be stable between two reads, or React would render without end.
  if (Date.now() - nowMs >= 1000) nowMs = Date.now();
  return nowMs;
}
