import { useInfiniteQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { FileUp, SearchX, UserPlus, Users } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { type Contact, contactsSource } from "@/api/contacts";
import { allRows } from "@/api/fields";
import { listsQuery } from "@/api/lists";
import { useLongList } from "@/api/long-list";
import { ContactDrawer } from "@/features/contacts/contact-drawer";
import { ContactsTabs } from "@/features/contacts/contacts-tabs";
import { Badge } from "@/ui/badge";
import { Button, buttonClass } from "@/ui/button";
import { aboveRow, type Column, DataTable, rowTarget } from "@/ui/data-table";
import { PageHeader, Panel } from "@/ui/panel";
import { SearchField } from "@/ui/search-field";
import { Select } from "@/ui/select";
import { EmptyState, QueryState } from "@/ui/states";
import { Time } from "@/ui/time";

const route = getRouteApi("/app/contacts");
const ALL = "all";

export function ContactsPage() {
  const { q, list } = route.useSearch();
  const navigate = route.useNavigate();
  const { first, isEmpty, rows } = useLongList(contactsSource({ q, list_id: list }));
  const lists = allRows(useInfiniteQuery(listsQuery).data);
  const [open, setOpen] = useState<Contact | "new" | null>(null);
  const columns = useMemo(() => contactColumns(setOpen), []);
  const search = useCallback(
    (text: string) => void navigate({ search: (old) => ({ ...old, q: text || undefined }), replace: true }),
    [navigate],
  );
  const options = [
    { value: ALL, label: "All contacts" },
    ...lists.map((each) => ({ value: each.id, label: each.name })),
  ];
  return (
    <>
      <PageHeader
        title="Contacts"
        text="People you may write to, with what you know about them."
        actions={
          <>
            <Button icon={<UserPlus aria-hidden className="size-4" />} onClick={() => setOpen("new")}>
              New contact
            </Button>
            <Link to="/imports" search={{}} className={buttonClass("primary")}>
              <FileUp aria-hidden className="size-4" /> Import a CSV
            </Link>
          </>
        }
      />
      <ContactsTabs />
      <Panel
        flush
        title={q !== undefined || list !== undefined ? "Found" : "Newest first"}
        aside={
          <div className="flex w-full flex-wrap items-center gap-2 sm:w-auto">
            <SearchField label="Search contacts" value={q ?? ""} onSearch={search} />
            <Select
              label="List"
              size="small"
              value={list ?? ALL}
              options={options}
              onChange={(value) =>
                void navigate({ search: (old) => ({ ...old, list: value === ALL ? undefined : value }) })
              }
              className="max-w-48"
            />
          </div>
        }
      >
        <QueryState
          query={first}
          what="The contacts"
          isEmpty={() => isEmpty}
          empty={
            q !== undefined || list !== undefined ? (
              <EmptyState
                icon={<SearchX aria-hidden />}
                title="Nobody fits"
                action={<Button onClick={() => void navigate({ search: {} })}>Show all contacts</Button>}
              />
            ) : (
              <EmptyState
                icon={<Users aria-hidden />}
                title="No contacts yet"
                action={
                  <Link to="/imports" search={{}} className={buttonClass("primary")}>
                    Import a CSV
                  </Link>
                }
              >
                A file with a column of addresses is all it takes.
              </EmptyState>
            )
          }
        >
          {() => <DataTable label="Contacts" columns={columns} rows={rows} rowKey={(row) => row.id} />}
        </QueryState>
      </Panel>
      <ContactDrawer contact={open} onClose={() => setOpen(null)} />
    </>
  );
}

function contactColumns(open: (contact: Contact) => void): Array<Column<Contact>> {
  return [
    {
      key: "email",
      header: "Email address",
      width: "minmax(0,1.4fr)",
      cell: (contact) => (
        <button type="button" onClick={() => open(contact)} className={`${rowTarget} w-full`}>
          {contact.email}
          <span className="block truncate text-[0.8125rem] font-normal text-ink-3 sm:hidden">{fullName(contact)}</span>
        </button>
      ),
    },
    {
      key: "name",
      header: "Name",
      width: "minmax(0,1fr)",
      from: "sm",
      cell: (contact) => <span className="block truncate text-ink-2">{fullName(contact) || "—"}</span>,
    },
    {
      key: "more",
      header: "Attributes",
      width: "minmax(0,1.8fr)",
      from: "lg",
      cell: (contact) => (
        <span className="block truncate text-[0.8125rem] text-ink-3">
          {Object.entries(contact.attributes)
            .filter(([name, value]) => !NAMES.has(name) && value !== "")
            .map(([name, value]) => `${name}: ${value}`)
            .join(" · ") || "—"}
        </span>
      ),
    },
    {
      key: "state",
      header: "State",
      width: "7.25rem",
      from: "md",
      cell: (contact) =>
        contact.suppressed ? <Badge tone="warn">Suppressed</Badge> : <Badge tone="good">Reachable</Badge>,
    },
    {
      key: "since",
      header: "Since",
      width: "9rem",
      align: "end",
      from: "md",
      cell: (contact) => (
        <span className={`${aboveRow} text-ink-2`}>
          <Time at={contact.created_at} />
        </span>
      ),
    },
  ];
}

const NAMES = new Set(["first_name", "last_name", "name"]);

function fullName({ attributes }: Contact): string {
  return [attributes.first_name, attributes.last_name].filter(Boolean).join(" ") || (attributes.name ?? "");
}
