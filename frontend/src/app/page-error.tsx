import { type ErrorComponentProps, Link, useRouter } from "@tanstack/react-router";
import { Compass } from "lucide-react";
import { buttonClass } from "@/ui/button";
import { EmptyState, ErrorState } from "@/ui/states";

/** A page that broke, or that could not be fetched after an update of the server. */
export function PageError({ error, reset }: ErrorComponentProps) {
  const router = useRouter();
  const cause = error instanceof Error ? error : new Error("Something went wrong on this page.");
  const isStale = /dynamically imported module|Importing a module script/i.test(cause.message);
  return (
    <div className="px-4 py-16">
      <div className="glass mx-auto max-w-xl">
        <ErrorState
          what="This page"
          error={
            isStale
              ? new Error("The dashboard was updated, or the server cannot be reached. Try again to load it anew.")
              : cause
          }
          onRetry={() => {
            if (isStale) window.location.reload();
            reset();
            void router.invalidate();
          }}
        />
      </div>
    </div>
  );
}

export function PageNotFound() {
  return (
    <main className="px-4 py-16">
      <div className="glass mx-auto max-w-xl">
        <EmptyState
          icon={<Compass aria-hidden />}
          title={<h1>There is no such page</h1>}
          action={
            <Link to="/" className={buttonClass("primary")}>
              To the overview
            </Link>
          }
        >
          The address may be mistyped, or what it showed was deleted.
        </EmptyState>
      </div>
    </main>
  );
}
