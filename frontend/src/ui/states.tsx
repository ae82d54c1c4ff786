import type { UseQueryResult } from "@tanstack/react-query";
import { CloudOff, RotateCw } from "lucide-react";
import type { ReactNode } from "react";
import { Button } from "@/ui/button";

type ErrorStateProps = { what: string; error: Error; onRetry: () => void };

/** What failed, why, and a way to try again. */
export function ErrorState({ what, error, onRetry }: ErrorStateProps) {
  return (
    <div role="alert" className="flex flex-col items-center gap-3 px-6 py-12 text-center">
      <span className="grid size-11 place-items-center rounded-2xl bg-bad-soft text-bad-text">
        <CloudOff aria-hidden className="size-5" />
      </span>
      <div>
        <p className="font-semibold text-ink">{what} could not be loaded</p>
        <p className="mx-auto mt-1 max-w-md text-sm text-ink-2">{error.message}</p>
      </div>
      <Button size="small" onClick={onRetry} icon={<RotateCw aria-hidden className="size-3.5" />}>
        Try again
      </Button>
    </div>
  );
}

type EmptyStateProps = { icon: ReactNode; title: ReactNode; children?: ReactNode; action?: ReactNode };

/** Nothing here yet, and what to do first. */
export function EmptyState({ icon, title, children, action }: EmptyStateProps) {
  return (
    <div className="flex flex-col items-center gap-3 px-6 py-14 text-center">
      <span className="grid size-12 place-items-center rounded-2xl bg-accent-soft text-accent-text [&>svg]:size-6">
        {icon}
      </span>
      <div>
        <div className="font-semibold text-ink">{title}</div>
        {children !== undefined ? <div className="mx-auto mt-1 max-w-sm text-sm text-ink-2">{children}</div> : null}
      </div>
      {action}
    </div>
  );
}

/** Grey lines where rows will be. */
export function SkeletonRows({ rows = 6 }: { rows?: number }) {
  return (
    <div role="status" aria-label="Loading" className="flex flex-col gap-4 p-5">
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows are all alike
        <div key={row} className="flex items-center gap-4">
          <span className="skeleton h-4 flex-[3]" />
          <span className="skeleton hidden h-4 flex-1 sm:block" />
          <span className="skeleton h-4 w-16" />
        </div>
      ))}
    </div>
  );
}

type QueryStateProps<Data> = {
  query: Pick<UseQueryResult<Data>, "data" | "error" | "refetch" | "isPending">;
  what: string;
  loading?: ReactNode;
  isEmpty?: (data: Data) => boolean;
  empty?: ReactNode;
  children: (data: Data) => ReactNode;
};

/** The four states of a query, in their order. Data that is already there stays while a refresh fails. */
export function QueryState<Data>({ query, what, loading, isEmpty, empty, children }: QueryStateProps<Data>) {
  if (query.data === undefined) {
    if (query.error) return <ErrorState what={what} error={query.error} onRetry={() => void query.refetch()} />;
    return loading ?? <SkeletonRows />;
  }
  if (isEmpty?.(query.data)) return empty;
  return children(query.data);
}
