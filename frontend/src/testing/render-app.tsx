/** The whole dashboard at one address, against a table of answers. */
import { QueryClientProvider } from "@tanstack/react-query";
import { createMemoryHistory, RouterProvider } from "@tanstack/react-router";
import { render } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { vi } from "vitest";
import { newApp } from "@/app/router";
import { mockFetch, type Routes, sampleRoutes } from "@/testing/mock-api";
import { Toaster } from "@/ui/toaster";

/** Fetch all pages before the first test: a busy machine needs longer for that than a test waits. */
export async function warmUp(): Promise<void> {
  await Promise.all(
    Object.values(
      import.meta.glob(["../pages/*.tsx", "../features/compose/*-editor.tsx", "../app/account-menu.tsx"]),
    ).map((load) => load()),
  );
}

export function renderApp(path: string, routes: Routes = {}) {
  const server = mockFetch({ ...sampleRoutes(), ...routes });
  vi.stubGlobal("fetch", server.fetch);
  const { router, queryClient } = newApp(createMemoryHistory({ initialEntries: [path] }));
  const view = render(
    <QueryClientProvider client={queryClient}>
      <RouterProvider router={router} />
      <Toaster />
    </QueryClientProvider>,
  );
  return { ...view, router, queryClient, calls: server.calls, user: userEvent.setup() };
}

/** Faults that axe finds, as sentences. Colour and layout need a real browser: they are checked there. */
export async function axeFaults(element: Element): Promise<string[]> {
  const result = await axe.run(element, {
    iframes: false,
    rules: {
      "color-contrast": { enabled: false },
      region: { enabled: false },
      "scrollable-region-focusable": { enabled: false },
    },
  });
  return result.violations.map(
    (fault) => `${fault.id}: ${fault.help} (${fault.nodes.map((node) => node.html.slice(0, 160)).join(" | ")})`,
  );
}
