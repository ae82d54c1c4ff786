/** Whether the server answers. Set by whoever talks to it, read by the banner. */
import { useSyncExternalStore } from "react";

const listeners = new Set<() => void>();
let isLost = false;

export function reportConnection(lost: boolean): void {
  if (lost === isLost) return;
  isLost = lost;
  for (const listener of listeners) listener();
}

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

export function useConnectionLost(): boolean {
  return useSyncExternalStore(subscribe, () => isLost);
}
