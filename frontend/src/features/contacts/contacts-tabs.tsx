import { Link } from "@tanstack/react-router";

const PAGES = [
  { to: "/contacts", label: "Contacts" },
  { to: "/lists", label: "Lists" },
  { to: "/imports", label: "Imports" },
  { to: "/suppressions", label: "Suppressions" },
] as const;

/** The four pages about people, side by side. */
export function ContactsTabs() {
  return (
    <nav
      aria-label="Contacts"
      className="mb-4 flex w-fit max-w-full gap-1 overflow-x-auto rounded-xl border border-line-2 bg-sunken p-1 [scrollbar-width:none]"
    >
      {PAGES.map((page) => (
        <Link
          key={page.to}
          to={page.to}
          search={{}}
          activeOptions={{ includeSearch: false }}
          className="flex h-8 shrink-0 items-center rounded-lg border border-transparent px-3 text-[0.8125rem] font-medium text-ink-2 transition-colors hover:text-ink data-[status=active]:border-line data-[status=active]:bg-glass-3 data-[status=active]:text-ink data-[status=active]:shadow-sm"
        >
          {page.label}
        </Link>
      ))}
    </nav>
  );
}
