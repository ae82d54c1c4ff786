/** The one way to say something in passing. The toaster is fetched with the first word it has to say. */
import type { ExternalToast } from "sonner";

type Say = (text: string, options?: ExternalToast) => void;

const listeners = new Set<() => void>();
let isWanted = false;

const say =
  (kind: "success" | "error"): Say =>
  (text, options) => {
    isWanted = true;
    for (const listener of listeners) listener();
    void import("sonner").then(({ toast: real }) => real[kind](text, options));
  };

export const toast = { success: say("success"), error: say("error") };

/** For whoever puts the toaster on the page. */
export const toastDemand = {
  subscribe: (listener: () => void) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  get: () => isWanted,
};
