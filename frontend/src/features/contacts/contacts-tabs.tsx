import { Link } from "@tanstack/react-router";
import { activeTabClass, ScrollRow, tabClass } from "@/ui/scroll-row";

const PAGES = [
  { to: "/contacts", label: "Contacts" },
  { to: "/lists", label: "Lists" },
  { to: "/imports", label: "Imports" },
  { to: "/suppressions", label: "Suppressions" },
] as const;

/** The four pages about people, side by side. */
export function ContactsTabs() {
  return (
    <ScrollRow as="nav" aria-label="Contacts" className="mb-4">
      {PAGES.map((page) => (
        <Link
          key={page.to}
          to={page.to}
          search={{}}
          activeOptions={{ includeSearch: false }}
          className={tabClass}
          activeProps={{ className: activeTabClass }}
        >
          {page.label}
        </Link>
      ))}
    </ScrollRow>
  );
}
