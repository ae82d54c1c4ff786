import { useInfiniteQuery, useQuery } from "@tanstack/react-query";
import { getRouteApi, Link } from "@tanstack/react-router";
import { ArrowLeft, Download, Inbox as InboxIcon, MailOpen, SearchX } from "lucide-react";
import { useCallback, useEffect, useRef } from "react";
import { allRows } from "@/api/fields";
import { fetchRawMail, type InboxMail, type InboxRow, inboxMailQuery, inboxQuery } from "@/api/inbox";
import { cx } from "@/lib/cx";
import { formatBytes, formatHour } from "@/lib/format";
import { downloads } from "@/lib/paths";
import { Button, buttonClass } from "@/ui/button";
import { MailFrame } from "@/ui/mail-frame";
import { PageHeader, Panel } from "@/ui/panel";
import { SearchField } from "@/ui/search-field";
import { EmptyState, QueryState } from "@/ui/states";
import { Tabs } from "@/ui/tabs";
import { Time } from "@/ui/time";

const route = getRouteApi("/app/inbox");

const VIEWS = [
  { value: "html", label: "HTML" },
  { value: "text", label: "Text" },
  { value: "headers", label: "Headers" },
  { value: "source", label: "Source" },
] as const;
type View = (typeof VIEWS)[number]["value"];

/** The sandbox's mailbox: list at the left, mail at the right; one after the other on a phone. */
export function InboxPage() {
  const { q, mail, view = "html" } = route.useSearch();
  const navigate = route.useNavigate();
  const query = useInfiniteQuery(inboxQuery(q ?? ""));
  const rows = allRows(query.data);
  const search = useCallback(
    (text: string) => void navigate({ search: (old) => ({ ...old, q: text || undefined }), replace: true }),
    [navigate],
  );
  return (
    <>
      <PageHeader title="Inbox" text="What the sandbox received: nothing here has left this server." />
      <div className="grid items-start gap-5 lg:grid-cols-[minmax(18rem,24rem)_minmax(0,1fr)]">
        <Panel flush className={cx(mail !== undefined && "max-lg:hidden")}>
          <div className="border-b border-line-2 p-3 [&>label]:sm:w-full">
            <SearchField label="Search subjects and recipients" value={q ?? ""} onSearch={search} />
          </div>
          <QueryState
            query={query}
            what="The mailbox"
            isEmpty={() => rows.length === 0}
            empty={
              q !== undefined ? (
                <EmptyState
                  icon={<SearchX aria-hidden />}
                  title="No mail fits"
                  action={<Button onClick={() => void navigate({ search: {} })}>Show all mail</Button>}
                />
              ) : (
                <EmptyState icon={<InboxIcon aria-hidden />} title="No mail yet">
                  Send a test or launch a campaign: it arrives here.
                </EmptyState>
              )
            }
          >
            {() => (
              <MailList
                rows={rows}
                current={mail}
                onOpen={(id) => void navigate({ search: (old) => ({ ...old, mail: id }), resetScroll: false })}
                hasMore={query.hasNextPage}
                isLoadingMore={query.isFetchingNextPage}
                onMore={() => void query.fetchNextPage()}
              />
            )}
          </QueryState>
        </Panel>
        <Panel flush className={cx("lg:sticky lg:top-6", mail === undefined && "max-lg:hidden")}>
          {mail === undefined ? (
            <EmptyState icon={<MailOpen aria-hidden />} title="Choose a mail">
              It is shown as its recipient's program reads it.
            </EmptyState>
          ) : (
            <Mail
              key={mail}
              id={mail}
              view={view}
              onView={(next) =>
                void navigate({
                  search: (old) => ({ ...old, view: next === "html" ? undefined : next }),
                  resetScroll: false,
                  replace: true,
                })
              }
            />
          )}
        </Panel>
      </div>
    </>
  );
}

type MailListProps = {
  rows: InboxRow[];
  current: string | undefined;
  onOpen: (id: string) => void;
  hasMore: boolean;
  isLoadingMore: boolean;
  onMore: () => void;
};

function MailList({ rows, current, onOpen, hasMore, isLoadingMore, onMore }: MailListProps) {
  const end = useRef<HTMLLIElement>(null);
  useEffect(() => {
    const mark = end.current;
    if (!mark || !hasMore || typeof IntersectionObserver === "undefined") return;
    const watch = new IntersectionObserver(([entry]) => entry?.isIntersecting && !isLoadingMore && onMore(), {
      rootMargin: "400px",
    });
    watch.observe(mark);
    return () => watch.disconnect();
  }, [hasMore, isLoadingMore, onMore]);
  return (
    <ul aria-label="Mails" className="max-h-[calc(100dvh-15rem)] min-h-64 overflow-y-auto">
      {rows.map((row) => (
        <li key={row.id} className="border-b border-line-2 last:border-0">
          <button
            type="button"
            aria-current={row.id === current || undefined}
            onClick={() => onOpen(row.id)}
            className={cx(
              "block w-full px-4 py-3 text-left transition-colors focus-visible:-outline-offset-2",
              row.id === current ? "bg-accent-soft" : "hover:bg-hover",
            )}
          >
            <span className="flex items-baseline justify-between gap-3">
              <span className="truncate text-sm font-medium text-ink">{row.to}</span>
              <span className="num shrink-0 text-xs text-ink-3">{formatHour(row.received_at)}</span>
            </span>
            <span className="block truncate text-[0.8125rem] text-ink-2">{row.subject || "(no subject)"}</span>
          </button>
        </li>
      ))}
      <li ref={end} aria-hidden />
    </ul>
  );
}

function Mail({ id, view, onView }: { id: string; view: View; onView: (view: View) => void }) {
  const query = useQuery(inboxMailQuery(id));
  return (
    <QueryState query={query} what="The mail">
      {(mail) => (
        <div className="flex flex-col">
          <div className="border-b border-line-2 px-5 py-4">
            <Link
              to="/inbox"
              search={(old) => ({ ...old, mail: undefined })}
              className="text-link mb-2 text-ink-2 lg:hidden pointer-coarse:!mb-0"
            >
              <ArrowLeft aria-hidden className="size-4" /> All mail
            </Link>
            <div className="flex flex-wrap items-start justify-between gap-3">
              <h2 className="min-w-0 text-lg font-semibold tracking-tight break-words">
                {mail.subject || "(no subject)"}
              </h2>
              <a href={downloads.rawMail(mail.id)} download className={buttonClass("secondary", "small")}>
                <Download aria-hidden className="size-3.5" /> {formatBytes(mail.size_bytes)}
              </a>
            </div>
            <dl className="mt-2 grid gap-x-3 gap-y-0.5 text-sm text-ink-2 sm:grid-cols-[auto_1fr]">
              <dt className="text-ink-3">From</dt>
              <dd className="break-all">{mail.from || mail.mail_from}</dd>
              <dt className="text-ink-3">To</dt>
              <dd className="break-all">{mail.to}</dd>
              <dt className="text-ink-3">Received</dt>
              <dd>
                <Time at={mail.received_at} exact />
                {mail.message_id ? (
                  <Link
                    to="/sent"
                    search={{ message: mail.message_id }}
                    className="text-link ml-3 text-accent-text hover:underline"
                  >
                    Its story
                  </Link>
                ) : null}
              </dd>
            </dl>
          </div>
          <div className="p-4">
            <Tabs label="View" value={view} tabs={VIEWS} onChange={onView}>
              <MailBody mail={mail} view={view} />
            </Tabs>
          </div>
        </div>
      )}
    </QueryState>
  );
}

const plain =
  "inset-panel max-h-[34rem] overflow-auto p-4 font-mono text-[0.8125rem] leading-relaxed whitespace-pre-wrap break-words";

function MailBody({ mail, view }: { mail: InboxMail; view: View }) {
  switch (view) {
    case "html":
      return mail.html === null ? (
        <p className="py-8 text-center text-sm text-ink-2">This mail has no HTML part.</p>
      ) : (
        <div className="overflow-hidden rounded-xl border border-line-2">
          <MailFrame title="Mail" html={mail.html} heightPx={560} />
        </div>
      );
    case "text":
      return mail.text === null ? (
        <p className="py-8 text-center text-sm text-ink-2">This mail has no text part.</p>
      ) : (
        <pre className={plain}>{mail.text}</pre>
      );
    case "headers":
      return (
        <dl className="inset-panel grid max-h-[34rem] gap-x-4 gap-y-1.5 overflow-auto p-4 text-[0.8125rem] sm:grid-cols-[minmax(8rem,auto)_1fr]">
          {mail.headers.map((header, at) => (
            // biome-ignore lint/suspicious/noArrayIndexKey: a header may come twice
            <div key={at} className="contents">
              <dt className="font-medium text-ink-2">{header.name}</dt>
              <dd className="font-mono break-all">{header.value}</dd>
            </div>
          ))}
        </dl>
      );
    case "source":
      return <Source id={mail.id} />;
  }
}

function Source({ id }: { id: string }) {
  const query = useQuery({
    queryKey: ["inbox", "raw", id],
    queryFn: ({ signal }) => fetchRawMail(id, signal),
    staleTime: Number.POSITIVE_INFINITY,
  });
  return (
    <QueryState query={query} what="The source">
      {(raw) => <pre className={plain}>{raw}</pre>}
    </QueryState>
  );
}
