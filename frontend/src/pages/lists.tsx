import { useInfiniteQuery, useMutation, useQueryClient } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ListChecks, Pencil, Plus, Trash2 } from "lucide-react";
import { useState } from "react";
import { allRows } from "@/api/fields";
import { describeError } from "@/api/http";
import { type ContactList, createList, deleteList, listsQuery, renameList } from "@/api/lists";
import { ContactsTabs } from "@/features/contacts/contacts-tabs";
import { formatCount } from "@/lib/format";
import { Button, IconButton } from "@/ui/button";
import { aboveRow, type Column, DataTable, rowTarget } from "@/ui/data-table";
import { ConfirmDialog, Dialog } from "@/ui/dialog";
import { InputField } from "@/ui/field";
import { PageHeader, Panel } from "@/ui/panel";
import { EmptyState, QueryState } from "@/ui/states";
import { Time } from "@/ui/time";
import { toast } from "@/ui/toast";

export function ListsPage() {
  const query = useInfiniteQuery(listsQuery);
  const queryClient = useQueryClient();
  const rows = allRows(query.data);
  const [editing, setEditing] = useState<ContactList | "new" | null>(null);
  const [dropping, setDropping] = useState<ContactList | null>(null);
  const refresh = () => queryClient.invalidateQueries({ queryKey: ["lists"] });
  const newButton = (
    <Button variant="primary" icon={<Plus aria-hidden className="size-4" />} onClick={() => setEditing("new")}>
      New list
    </Button>
  );
  return (
    <>
      <PageHeader title="Lists" text="Groups of contacts that campaigns can be sent to." actions={newButton} />
      <ContactsTabs />
      <Panel flush>
        <QueryState
          query={query}
          what="The lists"
          isEmpty={() => rows.length === 0}
          empty={
            <EmptyState icon={<ListChecks aria-hidden />} title="No lists yet" action={newButton}>
              An import can fill a list, too.
            </EmptyState>
          }
        >
          {() => (
            <DataTable
              label="Lists"
              columns={listColumns(setEditing, setDropping)}
              rows={rows}
              rowKey={(row) => row.id}
              hasMore={query.hasNextPage}
              isLoadingMore={query.isFetchingNextPage}
              onMore={() => void query.fetchNextPage()}
            />
          )}
        </QueryState>
      </Panel>
      {editing !== null ? (
        <ListDialog
          list={editing === "new" ? null : editing}
          onClose={() => setEditing(null)}
          onSaved={() => {
            setEditing(null);
            void refresh();
          }}
        />
      ) : null}
      <ConfirmDialog
        open={dropping !== null}
        onClose={() => setDropping(null)}
        title="Delete this list?"
        confirm="Delete the list"
        onConfirm={async () => {
          if (dropping === null) return;
          try {
            await deleteList(dropping.id);
          } catch (error) {
            toast.error(describeError(error));
            throw error;
          }
          await refresh();
        }}
      >
        “{dropping?.name}” goes; its contacts stay.
      </ConfirmDialog>
    </>
  );
}

function ListDialog({
  list,
  onClose,
  onSaved,
}: {
  list: ContactList | null;
  onClose: () => void;
  onSaved: () => void;
}) {
  const [name, setName] = useState(list?.name ?? "");
  const save = useMutation({
    mutationFn: () => (list ? renameList(list.id, name.trim()) : createList(name.trim())),
    onSuccess: onSaved,
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title={list ? "Rename the list" : "New list"}
      footer={
        <Button
          type="submit"
          form="list-form"
          variant="primary"
          busy={save.isPending}
          disabledReason={name.trim() ? null : "Give it a name."}
        >
          Save
        </Button>
      }
    >
      <form
        id="list-form"
        onSubmit={(event) => {
          event.preventDefault();
          if (name.trim()) save.mutate();
        }}
      >
        <InputField
          label="Name"
          value={name}
          maxLength={200}
          onChange={(event) => setName(event.target.value)}
          error={save.error ? describeError(save.error) : undefined}
        />
      </form>
    </Dialog>
  );
}

function listColumns(edit: (list: ContactList) => void, drop: (list: ContactList) => void): Array<Column<ContactList>> {
  return [
    {
      key: "name",
      header: "List",
      width: "minmax(0,2fr)",
      cell: (list) => (
        <Link to="/contacts" search={{ list: list.id }} className={rowTarget}>
          {list.name}
        </Link>
      ),
    },
    {
      key: "contacts",
      header: "Contacts",
      width: "4.75rem",
      align: "end",
      cell: (list) => formatCount(list.contact_count),
    },
    {
      key: "since",
      header: "Made",
      width: "10rem",
      align: "end",
      from: "sm",
      cell: (list) => (
        <span className={`${aboveRow} text-ink-2`}>
          <Time at={list.created_at} />
        </span>
      ),
    },
    {
      key: "acts",
      header: "Actions",
      isQuiet: true,
      width: "5rem",
      align: "end",
      cell: (list) => (
        <span className={`${aboveRow} inline-flex`}>
          <IconButton
            label={`Rename ${list.name}`}
            icon={<Pencil aria-hidden className="size-4" />}
            onClick={() => edit(list)}
          />
          <IconButton
            label={`Delete ${list.name}`}
            icon={<Trash2 aria-hidden className="size-4" />}
            onClick={() => drop(list)}
          />
        </span>
      ),
    },
  ];
}
