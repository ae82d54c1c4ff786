import { useMutation, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { SearchX, ShieldBan, ShieldCheck, Trash2 } from "lucide-react";
import { useCallback, useMemo, useState } from "react";
import { describeError } from "@/api/http";
import { useLongList } from "@/api/long-list";
import { createSuppression, deleteSuppression, type Suppression, suppressionsSource } from "@/api/suppressions";
import { ContactsTabs } from "@/features/contacts/contacts-tabs";
import { Badge, type Tone } from "@/ui/badge";
import { Button, IconButton } from "@/ui/button";
import { aboveRow, type Column, DataTable } from "@/ui/data-table";
import { ConfirmDialog, Dialog } from "@/ui/dialog";
import { InputField } from "@/ui/field";
import { PageHeader, Panel } from "@/ui/panel";
import { SearchField } from "@/ui/search-field";
import { EmptyState, QueryState } from "@/ui/states";
import { Time } from "@/ui/time";
import { toast } from "@/ui/toast";

const route = getRouteApi("/app/suppressions");

const REASONS: Record<string, { tone: Tone; label: string }> = {
  unsubscribe: { tone: "info", label: "Unsubscribed" },
  hard_bounce: { tone: "bad", label: "Bounced" },
  complaint: { tone: "warn", label: "Complained" },
  manual: { tone: "idle", label: "By hand" },
};

export function SuppressionsPage() {
  const { q } = route.useSearch();
  const navigate = route.useNavigate();
  const queryClient = useQueryClient();
  const { first, isEmpty, rows } = useLongList(suppressionsSource(q ?? ""));

  const [isAdding, setIsAdding] = useState(false);
  const [dropping, setDropping] = useState<Suppression | null>(null);
  const columns = useMemo(() => suppressionColumns(setDropping), []);
  const refresh = () => queryClient.invalidateQueries({ queryKey: ["suppressions"] });
  const search = useCallback(
    (text: string) => void navigate({ search: { q: text || undefined }, replace: true }),
    [navigate],
  );
  return (
    <>
      <PageHeader
        title="Suppressions"
        text="Addresses that get nothing any more. An import never takes one off."
        actions={
          <Button
            variant="primary"
            icon={<ShieldBan aria-hidden className="size-4" />}
            onClick={() => setIsAdding(true)}
          >
            Suppress an address
          </Button>
        }
      />
      <ContactsTabs />
      <Panel
        flush
        title="Newest first"
        aside={<SearchField label="Search addresses" value={q ?? ""} onSearch={search} />}
      >
        <QueryState
          query={first}
          what="The suppressions"
          isEmpty={() => isEmpty}
          empty={
            q !== undefined ? (
              <EmptyState icon={<SearchX aria-hidden />} title="No such address is suppressed" />
            ) : (
              <EmptyState icon={<ShieldCheck aria-hidden />} title="Nobody is suppressed">
                Who unsubscribes, or whose address does not exist, will be listed here.
              </EmptyState>
            )
          }
        >
          {() => <DataTable label="Suppressions" columns={columns} rows={rows} rowKey={(row) => row.id} />}
        </QueryState>
      </Panel>
      {isAdding ? (
        <AddDialog
          onClose={() => setIsAdding(false)}
          onSaved={() => {
            setIsAdding(false);
            void refresh();
          }}
        />
      ) : null}
      <ConfirmDialog
        open={dropping !== null}
        onClose={() => setDropping(null)}
        title="Write to this address again?"
        confirm="Take it off"
        onConfirm={async () => {
          if (dropping === null) return;
          try {
            await deleteSuppression(dropping.id);
          } catch (error) {
            toast.error(describeError(error));
            throw error;
          }
          await refresh();
        }}
      >
        {dropping?.email} will get mail again. Do this only if that person asked for it.
      </ConfirmDialog>
    </>
  );
}

function AddDialog({ onClose, onSaved }: { onClose: () => void; onSaved: () => void }) {
  const [email, setEmail] = useState("");
  const [note, setNote] = useState("");
  const save = useMutation({
    mutationFn: () => createSuppression({ email: email.trim(), note: note.trim() }),
    onSuccess: onSaved,
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title="Suppress an address"
      description="It gets nothing from now on: no campaign, no API message."
      footer={
        <Button
          type="submit"
          form="suppress"
          variant="primary"
          busy={save.isPending}
          disabledReason={email.includes("@") ? null : "Give an address."}
        >
          Suppress
        </Button>
      }
    >
      <form
        id="suppress"
        className="grid gap-4 pb-1"
        onSubmit={(event) => {
          event.preventDefault();
          if (email.includes("@")) save.mutate();
        }}
      >
        <InputField
          label="Email address"
          type="email"
          value={email}
          onChange={(event) => setEmail(event.target.value)}
          error={save.error ? describeError(save.error) : undefined}
        />
        <InputField
          label="Note"
          value={note}
          maxLength={500}
          onChange={(event) => setNote(event.target.value)}
          hint="Why, for whoever looks later."
        />
      </form>
    </Dialog>
  );
}

function reasonOf({ reason }: Suppression) {
  return REASONS[reason] ?? { tone: "idle" as const, label: reason };
}

function suppressionColumns(drop: (row: Suppression) => void): Array<Column<Suppression>> {
  return [
    {
      key: "email",
      header: "Address",
      width: "minmax(0,1.5fr)",
      cell: (row) => (
        <>
          <span className="block truncate font-medium">{row.email}</span>
          <span className="block text-[0.8125rem] text-ink-3 sm:hidden">{reasonOf(row).label}</span>
        </>
      ),
    },
    {
      key: "reason",
      header: "Why",
      width: "8.5rem",
      from: "sm",
      cell: (row) => {
        const reason = reasonOf(row);
        return <Badge tone={reason.tone}>{reason.label}</Badge>;
      },
    },
    {
      key: "note",
      header: "Note",
      width: "minmax(0,1.2fr)",
      from: "lg",
      cell: (row) => <span className="block truncate text-ink-2">{row.note || "—"}</span>,
    },
    {
      key: "since",
      header: "Since",
      width: "9rem",
      align: "end",
      from: "sm",
      cell: (row) => (
        <span className={`${aboveRow} text-ink-2`}>
          <Time at={row.created_at} />
        </span>
      ),
    },
    {
      key: "acts",
      header: "Actions",
      isQuiet: true,
      width: "2.25rem",
      align: "end",
      cell: (row) => (
        <IconButton
          label={`Take ${row.email} off`}
          icon={<Trash2 aria-hidden className="size-4" />}
          onClick={() => drop(row)}
        />
      ),
    },
  ];
}
