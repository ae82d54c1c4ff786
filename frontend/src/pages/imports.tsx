import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Download, FileSpreadsheet, Trash2 } from "lucide-react";
import { useState } from "react";
import { allRows } from "@/api/fields";
import { describeError } from "@/api/http";
import { deleteImport, type ImportJob, importsQuery } from "@/api/imports";
import { ContactsTabs } from "@/features/contacts/contacts-tabs";
import { CsvImport } from "@/features/imports/csv-import";
import { formatCount } from "@/lib/format";
import { downloads } from "@/lib/paths";
import { Badge, type Tone } from "@/ui/badge";
import { IconButton } from "@/ui/button";
import { aboveRow, type Column, DataTable, rowTarget } from "@/ui/data-table";
import { ConfirmDialog } from "@/ui/dialog";
import { PageHeader, Panel } from "@/ui/panel";
import { EmptyState, QueryState } from "@/ui/states";
import { Time } from "@/ui/time";
import { toast } from "@/ui/toast";

const route = getRouteApi("/app/imports");

const STATES = {
  uploading: { tone: "info", label: "Uploading" },
  awaiting_mapping: { tone: "warn", label: "To be mapped" },
  importing: { tone: "accent", label: "Importing" },
  done: { tone: "good", label: "Done" },
  failed: { tone: "bad", label: "Failed" },
} satisfies Record<ImportJob["status"], { tone: Tone; label: string }>;

export function ImportsPage() {
  const { import: openId } = route.useSearch();
  const navigate = route.useNavigate();
  const queryClient = useQueryClient();
  const query = useInfiniteQuery(importsQuery());
  const rows = allRows(query.data);
  const [dropping, setDropping] = useState<ImportJob | null>(null);
  const open = (id: string | undefined) => void navigate({ search: { import: id } });
  return (
    <>
      <PageHeader title="Imports" text="Files that became contacts, and what was rejected of them." />
      <ContactsTabs />
      <div className="grid gap-5">
        <Panel className="sm:p-7">
          <CsvImport
            key={openId ?? "new"}
            importId={openId}
            onStarted={(job) => open(job.id)}
            onReset={() => open(undefined)}
          />
        </Panel>
        <Panel flush title="All imports">
          <QueryState
            query={query}
            what="The imports"
            isEmpty={() => rows.length === 0}
            empty={
              <EmptyState icon={<FileSpreadsheet aria-hidden />} title="No imports yet">
                Drop a CSV file above.
              </EmptyState>
            }
          >
            {() => (
              <DataTable
                label="Imports"
                columns={importColumns(open, setDropping)}
                rows={rows}
                rowKey={(row) => row.id}
                hasMore={query.hasNextPage}
                isLoadingMore={query.isFetchingNextPage}
                onMore={() => void query.fetchNextPage()}
              />
            )}
          </QueryState>
        </Panel>
      </div>
      <ConfirmDialog
        open={dropping !== null}
        onClose={() => setDropping(null)}
        title="Delete this import?"
        confirm="Delete the import"
        onConfirm={async () => {
          if (dropping === null) return;
          try {
            await deleteImport(dropping.id);
          } catch (error) {
            toast.error(describeError(error));
            throw error;
          }
          if (dropping.id === openId) open(undefined);
          await queryClient.invalidateQueries({ queryKey: ["imports", "list"] });
        }}
      >
        The file and its report go; the contacts stay.
      </ConfirmDialog>
    </>
  );
}

function importColumns(open: (id: string) => void, drop: (job: ImportJob) => void): Array<Column<ImportJob>> {
  const quiet = (count: number) => <span className={count === 0 ? "text-ink-3" : undefined}>{formatCount(count)}</span>;
  return [
    {
      key: "name",
      header: "File",
      width: "minmax(0,1.6fr)",
      cell: (job) => (
        <button type="button" onClick={() => open(job.id)} className={`${rowTarget} w-full`}>
          {job.filename || "without a name"}
        </button>
      ),
    },
    {
      key: "state",
      header: "State",
      width: "7.75rem",
      cell: (job) => (
        <Badge tone={STATES[job.status].tone} live={job.status === "importing"}>
          {STATES[job.status].label}
        </Badge>
      ),
    },
    { key: "read", header: "Rows", width: "5.5rem", align: "end", from: "sm", cell: (job) => quiet(job.rows_read) },
    {
      key: "created",
      header: "New",
      width: "5.5rem",
      align: "end",
      from: "md",
      cell: (job) => quiet(job.contacts_created),
    },
    {
      key: "updated",
      header: "Updated",
      width: "5.5rem",
      align: "end",
      from: "md",
      cell: (job) => quiet(job.contacts_updated),
    },
    {
      key: "rejected",
      header: "Rejected",
      width: "6.5rem",
      align: "end",
      from: "sm",
      cell: (job) =>
        job.rows_rejected === 0 ? (
          quiet(0)
        ) : (
          <a
            href={downloads.rejects(job.id)}
            download
            aria-label={`Download ${job.rows_rejected} rejected rows`}
            className={`${aboveRow} inline-flex items-center gap-1.5 font-medium text-bad-text hover:underline`}
          >
            <Download aria-hidden className="size-3.5" />
            {formatCount(job.rows_rejected)}
          </a>
        ),
    },
    {
      key: "when",
      header: "When",
      width: "9rem",
      align: "end",
      from: "lg",
      cell: (job) => (
        <span className={`${aboveRow} text-ink-2`}>
          <Time at={job.created_at} />
        </span>
      ),
    },
    {
      key: "acts",
      header: "Actions",
      isQuiet: true,
      width: "2.25rem",
      align: "end",
      cell: (job) => (
        <span className={aboveRow}>
          <IconButton
            label={`Delete ${job.filename || "the import"}`}
            icon={<Trash2 aria-hidden className="size-4" />}
            disabledReason={job.status === "importing" ? "It is being read." : null}
            onClick={() => drop(job)}
          />
        </span>
      ),
    },
  ];
}
