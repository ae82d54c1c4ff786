import { useInfiniteQuery, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { CircleCheck, Download, FileSpreadsheet, FileUp, TriangleAlert } from "lucide-react";
import { type DragEvent, useEffect, useId, useRef, useState } from "react";
import { allRows } from "@/api/fields";
import { describeError } from "@/api/http";
import { type ImportJob, importQuery, startImport, uploadImport } from "@/api/imports";
import { createList, listsQuery } from "@/api/lists";
import { type CsvPreview, previewCsv } from "@/lib/csv-preview";
import { cx } from "@/lib/cx";
import { formatBytes, formatCount, plural } from "@/lib/format";
import {
  type ColumnTarget,
  findMappingFault,
  guessMapping,
  toAttributeName,
  toServerMapping,
} from "@/lib/guess-mapping";
import { downloads } from "@/lib/paths";
import { Button, buttonClass } from "@/ui/button";
import { Field, InputField } from "@/ui/field";
import { Notice } from "@/ui/panel";
import { Progress } from "@/ui/progress";
import { Select } from "@/ui/select";
import { QueryState } from "@/ui/states";

type CsvImportProps = {
  /** Told as soon as the server has begun to read: the import is an audience from then on. */
  onStarted: (job: ImportJob) => void;
  /** An import that is already under way or waits for its mapping. */
  importId?: string | undefined;
  onReset?: () => void;
};

/** A CSV file from the drop to its contacts: first rows, upload, mapping, reading, rejects. */
export function CsvImport({ onStarted, importId, onReset }: CsvImportProps) {
  const [file, setFile] = useState<{ file: File; preview: CsvPreview } | null>(null);
  const [startedId, setStartedId] = useState<string | undefined>(importId);
  const [fault, setFault] = useState<string | null>(null);

  async function choose(chosen: File) {
    setFault(null);
    try {
      setFile({ file: chosen, preview: await previewCsv(chosen) });
    } catch (error) {
      setFault(describeError(error));
    }
  }
  function reset() {
    setFile(null);
    setStartedId(undefined);
    onReset?.();
  }
  if (startedId !== undefined) return <ImportProgress id={startedId} onReset={reset} onStarted={onStarted} />;
  if (file !== null) {
    return (
      <Upload
        key={`${file.file.name}-${file.file.lastModified}`}
        file={file.file}
        preview={file.preview}
        onReset={reset}
        onStarted={(job) => {
          setStartedId(job.id);
          onStarted(job);
        }}
      />
    );
  }
  return <DropZone onFile={(chosen) => void choose(chosen)} fault={fault} />;
}

function DropZone({ onFile, fault }: { onFile: (file: File) => void; fault: string | null }) {
  const [isOver, setIsOver] = useState(false);
  const input = useRef<HTMLInputElement>(null);
  const hintId = useId();
  function drop(event: DragEvent) {
    event.preventDefault();
    setIsOver(false);
    const file = event.dataTransfer.files[0];
    if (file) onFile(file);
  }
  return (
    <div className="flex flex-col gap-3">
      {/* biome-ignore lint/a11y/noStaticElementInteractions: the button inside does the same for the keyboard */}
      <div
        onDragOver={(event) => {
          event.preventDefault();
          setIsOver(true);
        }}
        onDragLeave={() => setIsOver(false)}
        onDrop={drop}
        className={cx(
          "flex flex-col items-center gap-3 rounded-2xl border-2 border-dashed px-6 py-12 text-center transition-colors",
          isOver ? "border-accent bg-accent-soft" : "border-line-3 bg-sunken",
        )}
      >
        <span className="grid size-14 place-items-center rounded-2xl bg-accent-soft text-accent-text">
          <FileUp aria-hidden className="size-7" />
        </span>
        <div>
          <p className="text-base font-semibold">Drop a CSV file here</p>
          <p id={hintId} className="mt-0.5 text-sm text-ink-2">
            With a line of column names. Up to 1 GB; a million rows take seconds.
          </p>
        </div>
        <Button variant="primary" onClick={() => input.current?.click()} aria-describedby={hintId}>
          Choose a file
        </Button>
        <input
          ref={input}
          type="file"
          accept=".csv,.tsv,.txt,text/csv,text/plain"
          aria-label="CSV file"
          className="sr-only"
          tabIndex={-1}
          onChange={(event) => {
            const file = event.target.files?.[0];
            if (file) onFile(file);
            event.target.value = "";
          }}
        />
      </div>
      {fault !== null ? (
        <Notice tone="bad" icon={<TriangleAlert aria-hidden className="size-4" />}>
          <span role="alert">{fault}</span>
        </Notice>
      ) : null}
    </div>
  );
}

type UploadProps = { file: File; preview: CsvPreview; onReset: () => void; onStarted: (job: ImportJob) => void };

/** The file goes up while the person maps its columns. */
function Upload({ file, preview, onReset, onStarted }: UploadProps) {
  const [share, setShare] = useState(0);
  const [job, setJob] = useState<ImportJob | null>(null);
  const [fault, setFault] = useState<string | null>(null);
  const [tries, setTries] = useState(0);
  // biome-ignore lint/correctness/useExhaustiveDependencies: `tries` starts it anew
  useEffect(() => {
    const stop = new AbortController();
    setFault(null);
    uploadImport(file, setShare, stop.signal)
      .then(setJob)
      .catch((error: unknown) => {
        if (!stop.signal.aborted) setFault(describeError(error));
      });
    return () => stop.abort();
  }, [file, tries]);
  const percent = Math.floor(share * 100);
  const waiting = job ? null : fault ? "The upload failed." : `The file is still going up (${percent}%).`;
  return (
    <div className="flex flex-col gap-5">
      <div className="inset-panel flex flex-wrap items-center gap-x-4 gap-y-2 px-4 py-3">
        <FileSpreadsheet aria-hidden className="size-5 shrink-0 text-accent-text" />
        <div className="min-w-0 flex-1">
          <p className="truncate text-sm font-medium">{file.name}</p>
          <p className="num text-[0.8125rem] text-ink-2" aria-live="polite">
            {formatBytes(file.size)} · {preview.encoding} ·{" "}
            {job
              ? "uploaded"
              : fault
                ? "not uploaded"
                : share >= 1
                  ? "the server looks at it…"
                  : `uploading, ${percent}%`}
          </p>
        </div>
        <Button size="small" variant="ghost" onClick={onReset}>
          Another file
        </Button>
        {job === null && fault === null ? (
          <div className="w-full">
            <Progress label="Upload" share={share} />
          </div>
        ) : null}
      </div>
      {fault !== null ? (
        <Notice
          tone="bad"
          icon={<TriangleAlert aria-hidden className="size-4" />}
          action={
            <Button size="small" onClick={() => setTries(tries + 1)}>
              Try again
            </Button>
          }
        >
          <span role="alert">{fault}</span>
        </Notice>
      ) : null}
      {job?.notes.map((note) => (
        <Notice key={note} tone="warn">
          {note}
        </Notice>
      ))}
      <Mapping
        columns={job?.columns.length ? job.columns : preview.columns}
        rows={preview.rows}
        waiting={waiting}
        job={job}
        onStarted={onStarted}
      />
    </div>
  );
}

const NEW_LIST = "new";
const NO_LIST = "none";

type MappingProps = {
  columns: string[];
  rows: string[][];
  waiting: string | null;
  job: ImportJob | null;
  onStarted: (job: ImportJob) => void;
};

function Mapping({ columns, rows, waiting, job, onStarted }: MappingProps) {
  const [targets, setTargets] = useState<ColumnTarget[]>(() => guessMapping(columns, rows));
  const [conflict, setConflict] = useState<"update" | "skip">("update");
  const [listId, setListId] = useState<string>(NO_LIST);
  const [listName, setListName] = useState("");
  const lists = allRows(useInfiniteQuery(listsQuery).data);
  const queryClient = useQueryClient();
  const fault =
    findMappingFault(targets) ?? (listId === NEW_LIST && listName.trim() === "" ? "Name the new list." : null);
  const start = useMutation({
    mutationFn: async () => {
      if (job === null) throw new Error("The file is still going up.");
      const list =
        listId === NEW_LIST ? (await createList(listName.trim())).id : listId === NO_LIST ? undefined : listId;
      return startImport(job.id, {
        mapping: toServerMapping(columns, targets),
        on_conflict: conflict,
        ...(list === undefined ? {} : { list_id: list }),
      });
    },
    onSuccess: (after) => {
      queryClient.setQueryData(importQuery(after.id).queryKey, after);
      void queryClient.invalidateQueries({ queryKey: ["imports", "list"] });
      void queryClient.invalidateQueries({ queryKey: ["lists"] });
      onStarted(after);
    },
  });
  const setTarget = (at: number, target: ColumnTarget) =>
    setTargets(targets.map((old, position) => (position === at ? target : old)));
  return (
    <>
      <section aria-label="Columns">
        <h3 className="text-sm font-semibold">What do the columns mean?</h3>
        <p className="mb-3 text-[0.8125rem] text-ink-2">
          Guessed from their names and the first rows. Change what is wrong.
        </p>
        <ul className="inset-panel divide-y divide-line-2 overflow-hidden">
          {columns.map((column, at) => (
            <li
              // biome-ignore lint/suspicious/noArrayIndexKey: two columns may share a name; their place is what they are
              key={at}
              className="grid items-center gap-x-5 gap-y-2 px-4 py-3 sm:grid-cols-[minmax(0,1fr)_minmax(0,1.3fr)_14rem]"
            >
              <span className="truncate text-sm font-medium">
                {column || <em className="text-ink-3">column {at + 1}, without a name</em>}
              </span>
              <span className="truncate text-[0.8125rem] text-ink-2">
                {rows
                  .slice(0, 3)
                  .map((row) => row[at]?.trim())
                  .filter(Boolean)
                  .join(" · ") || "empty in the first rows"}
              </span>
              <TargetSelect
                column={column}
                position={at}
                target={targets[at] ?? { kind: "skip" }}
                onChange={(target) => setTarget(at, target)}
              />
            </li>
          ))}
        </ul>
      </section>
      <details className="inset-panel group">
        <summary className="cursor-pointer px-4 py-2.5 text-sm font-medium text-ink-2 hover:text-ink">
          The first {plural(Math.min(rows.length, 8), "row")} as they are
        </summary>
        {/* biome-ignore lint/a11y/noNoninteractiveTabindex: a scrolling region must be reachable by keyboard */}
        <section className="overflow-x-auto px-4 pb-3" aria-label="First rows" tabIndex={0}>
          <table className="min-w-full text-[0.8125rem]">
            <thead>
              <tr>
                {columns.map((column, at) => (
                  // biome-ignore lint/suspicious/noArrayIndexKey: see above
                  <th key={at} className="py-1.5 pr-5 text-left font-medium whitespace-nowrap text-ink-2">
                    {column}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {rows.slice(0, 8).map((row, line) => (
                // biome-ignore lint/suspicious/noArrayIndexKey: rows have no names
                <tr key={line} className="border-t border-line-2">
                  {columns.map((_, at) => (
                    // biome-ignore lint/suspicious/noArrayIndexKey: see above
                    <td key={at} className="max-w-60 truncate py-1.5 pr-5 whitespace-nowrap">
                      {row[at]}
                    </td>
                  ))}
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      </details>
      <div className="grid gap-4 sm:grid-cols-2">
        <Field label="When an address is already a contact">
          {(ids) => (
            <Select
              ids={ids}
              value={conflict}
              onChange={setConflict}
              options={[
                { value: "update", label: "Update it with this row" },
                { value: "skip", label: "Leave it as it is" },
              ]}
            />
          )}
        </Field>
        <Field label="Also put them on a list">
          {(ids) => (
            <Select
              ids={ids}
              value={listId}
              onChange={setListId}
              options={[
                { value: NO_LIST, label: "No list" },
                { value: NEW_LIST, label: "A new list…" },
                ...lists.map((list) => ({ value: list.id, label: list.name })),
              ]}
            />
          )}
        </Field>
        {listId === NEW_LIST ? (
          <InputField
            label="Name of the new list"
            value={listName}
            onChange={(event) => setListName(event.target.value)}
            maxLength={200}
          />
        ) : null}
      </div>
      {start.error ? (
        <Notice tone="bad" icon={<TriangleAlert aria-hidden className="size-4" />}>
          <span role="alert">{describeError(start.error)}</span>
        </Notice>
      ) : null}
      <div className="flex flex-wrap items-center justify-end gap-3">
        {fault !== null ? <p className="text-sm text-warn-text">{fault}</p> : null}
        <Button
          variant="primary"
          busy={start.isPending}
          disabledReason={fault ?? waiting}
          onClick={() => start.mutate()}
        >
          Import the contacts
        </Button>
      </div>
    </>
  );
}

const COMMON = [
  { name: "first_name", label: "First name" },
  { name: "last_name", label: "Last name" },
  { name: "name", label: "Full name" },
  { name: "company", label: "Company" },
  { name: "city", label: "City" },
  { name: "country", label: "Country" },
  { name: "phone", label: "Phone" },
];

type TargetSelectProps = {
  column: string;
  position: number;
  target: ColumnTarget;
  onChange: (target: ColumnTarget) => void;
};

function TargetSelect({ column, position, target, onChange }: TargetSelectProps) {
  const own = toAttributeName(column, position);
  const current = target.kind === "attribute" ? `attribute:${target.name}` : target.kind;
  const names = [own, ...(target.kind === "attribute" ? [target.name] : [])].filter(
    (name, at, all) => all.indexOf(name) === at && !COMMON.some((each) => each.name === name),
  );
  return (
    <Select
      label={`Meaning of ${column || `column ${position + 1}`}`}
      size="small"
      value={current}
      options={[
        { value: "email", label: "Email address" },
        ...COMMON.map((each) => ({ value: `attribute:${each.name}`, label: each.label })),
        ...names.map((name) => ({ value: `attribute:${name}`, label: `Keep as {{ ${name} }}` })),
        { value: "skip", label: "Leave out" },
      ]}
      onChange={(value) => {
        if (value === "email" || value === "skip") onChange({ kind: value });
        else onChange({ kind: "attribute", name: value.slice("attribute:".length) });
      }}
      className={cx(
        "w-full",
        target.kind === "email" && "!border-accent font-medium",
        target.kind === "skip" && "!text-ink-3",
      )}
    />
  );
}

type ImportProgressProps = { id: string; onReset: () => void; onStarted: (job: ImportJob) => void };

/** What the server has done with the file so far. */
export function ImportProgress({ id, onReset, onStarted }: ImportProgressProps) {
  const query = useQuery(importQuery(id));
  return (
    <QueryState query={query} what="The import">
      {(job) => {
        switch (job.status) {
          case "uploading":
            return <p className="text-sm text-ink-2">The file is still going up, in another window perhaps.</p>;
          case "awaiting_mapping":
            return (
              <Mapping columns={job.columns} rows={job.sample_rows} waiting={null} job={job} onStarted={onStarted} />
            );
          case "importing":
            return <Importing job={job} />;
          case "done":
            return <ImportDone job={job} onReset={onReset} />;
          case "failed":
            return (
              <Notice
                tone="bad"
                action={
                  <Button size="small" onClick={onReset}>
                    Another file
                  </Button>
                }
              >
                {job.error ?? "The import failed. Nothing of it was kept."}
              </Notice>
            );
        }
      }}
    </QueryState>
  );
}

function Importing({ job }: { job: ImportJob }) {
  const share = job.rows_total === null || job.rows_total === 0 ? undefined : job.rows_read / job.rows_total;
  return (
    <div role="status" className="flex flex-col gap-3">
      <p className="num text-lg font-semibold tracking-tight">
        {formatCount(job.rows_read)}
        {job.rows_total !== null ? <span className="text-ink-2"> of {formatCount(job.rows_total)}</span> : null} rows
        read
      </p>
      <Progress label="Import" share={share} />
      <p className="text-sm text-ink-2">You can go on composing: this runs on the server.</p>
    </div>
  );
}

function ImportDone({ job, onReset }: { job: ImportJob; onReset: () => void }) {
  const counts = [
    { label: "new contacts", count: job.contacts_created },
    job.rows_unchanged > 0
      ? { label: "left as they were", count: job.rows_unchanged }
      : { label: "updated", count: job.contacts_updated },
    { label: "twice in the file", count: job.rows_duplicate },
    { label: "rejected", count: job.rows_rejected, isBad: job.rows_rejected > 0 },
  ];
  return (
    <div className="flex flex-col gap-4">
      <div className="flex flex-wrap items-center gap-3">
        <CircleCheck aria-hidden className="size-6 text-good" />
        <div className="min-w-0 flex-1">
          <p className="truncate font-semibold">{job.filename || "The file"} is imported</p>
          <p className="num text-sm text-ink-2">{plural(job.rows_read, "row")} read</p>
        </div>
        <Button size="small" variant="ghost" onClick={onReset}>
          Another file
        </Button>
      </div>
      <dl className="grid grid-cols-2 gap-3 sm:grid-cols-4">
        {counts.map((each) => (
          <div key={each.label} className="inset-panel px-4 py-3">
            <dd className={cx("num text-xl font-semibold tracking-tight", each.isBad && "text-bad-text")}>
              {formatCount(each.count)}
            </dd>
            <dt className="text-[0.8125rem] text-ink-2">{each.label}</dt>
          </div>
        ))}
      </dl>
      {job.rows_rejected > 0 ? (
        <Notice
          tone="warn"
          action={
            <a href={downloads.rejects(job.id)} download className={buttonClass("secondary", "small")}>
              <Download aria-hidden className="size-3.5" /> Rejected rows
            </a>
          }
        >
          {plural(job.rows_rejected, "row")} could not be taken. The file says for each line why.
        </Notice>
      ) : null}
    </div>
  );
}
