import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Gauge } from "lucide-react";
import { useState } from "react";
import { describeError } from "@/api/http";
import { type Limit, limitsQuery, updateLimit } from "@/api/limits";
import { useSettingsReason } from "@/features/settings/use-rights";
import { formatClock, formatCount, formatLimit } from "@/lib/format";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Field, FieldError, Input } from "@/ui/field";
import { Panel } from "@/ui/panel";
import { Progress } from "@/ui/progress";
import { Select } from "@/ui/select";
import { EmptyState, QueryState } from "@/ui/states";
import { toast } from "@/ui/toast";

export function LimitsPanel() {
  const query = useQuery(limitsQuery);
  const reason = useSettingsReason();
  const [editing, setEditing] = useState<Limit | null>(null);
  return (
    <Panel flush title="Limits">
      <p className="px-5 pb-4 text-sm text-ink-2">
        A limit holds in every window, wherever it begins: no hour, no minute ever carries more. What is over it waits
        for the exact next slot.
      </p>
      <QueryState
        query={query}
        what="The limits"
        isEmpty={(limits) => limits.length === 0}
        empty={<EmptyState icon={<Gauge aria-hidden />} title="No limits" />}
      >
        {(limits) => (
          <ul className="divide-y divide-line-2 border-t border-line-2">
            {limits.map((limit) => (
              <li key={limit.id} className="flex flex-wrap items-center gap-x-6 gap-y-3 px-5 py-4">
                <div className="min-w-44 flex-1">
                  <p className="text-sm font-medium">
                    {limit.scope === "account" ? "The whole account" : (limit.campaign_name ?? "A campaign")}
                  </p>
                  <p className="num text-[0.8125rem] text-ink-2">{formatLimit(limit.limit, limit.window_s)}</p>
                </div>
                {limit.limit > 0 ? (
                  <div className="w-full max-w-64">
                    <Progress
                      label="Used"
                      share={limit.used === null ? 0 : limit.used / limit.limit}
                      tone={limit.used !== null && limit.used >= limit.limit ? "bad" : "accent"}
                    />
                    <p className="num mt-1 text-xs text-ink-2">
                      {limit.used === null ? "the counters cannot be read now" : `${formatCount(limit.used)} used`}
                      {limit.next_free_at ? ` · next slot ${formatClock(limit.next_free_at)}` : ""}
                    </p>
                  </div>
                ) : null}
                <Button size="small" disabledReason={reason} onClick={() => setEditing(limit)}>
                  Change
                </Button>
              </li>
            ))}
          </ul>
        )}
      </QueryState>
      {editing !== null ? <LimitDialog limit={editing} onClose={() => setEditing(null)} /> : null}
    </Panel>
  );
}

const WINDOWS = [
  { value: "1", label: "second" },
  { value: "60", label: "minute" },
  { value: "3600", label: "hour" },
  { value: "86400", label: "day" },
];

function LimitDialog({ limit, onClose }: { limit: Limit; onClose: () => void }) {
  const queryClient = useQueryClient();
  const [count, setCount] = useState(String(limit.limit));
  const [windowS, setWindowS] = useState(String(limit.window_s));
  const windows = WINDOWS.some((each) => each.value === String(limit.window_s))
    ? WINDOWS
    : [...WINDOWS, { value: String(limit.window_s), label: `${formatCount(limit.window_s)} seconds` }];
  const isValid = /^\d{1,10}$/.test(count) && Number(count) <= 1_000_000_000;
  const save = useMutation({
    mutationFn: () => updateLimit(limit.id, { limit: Number(count), window_s: Number(windowS) }),
    onSuccess: async () => {
      toast.success("The limit holds from now on.");
      await Promise.all([
        queryClient.invalidateQueries({ queryKey: ["limits"] }),
        queryClient.invalidateQueries({ queryKey: ["overview"] }),
      ]);
      onClose();
    },
  });
  return (
    <Dialog
      open
      onClose={onClose}
      title="Change the limit"
      description="It works at once, in both directions."
      footer={
        <Button
          type="submit"
          form="limit"
          variant="primary"
          busy={save.isPending}
          disabledReason={isValid ? null : "Give a whole number, 0 for no limit."}
        >
          Save
        </Button>
      }
    >
      <form
        id="limit"
        className="flex flex-col gap-3 pb-1"
        onSubmit={(event) => {
          event.preventDefault();
          if (isValid) save.mutate();
        }}
      >
        <div className="flex items-end gap-2">
          <Field label="At most" className="flex-1">
            {(ids) => (
              <Input
                {...ids}
                inputMode="numeric"
                value={count}
                onChange={(event) => setCount(event.target.value.trim())}
                className="num"
              />
            )}
          </Field>
          <span className="pb-2.5 text-sm text-ink-2">messages per</span>
          <Select label="Window" value={windowS} options={windows} onChange={setWindowS} className="w-36" />
        </div>
        <p className="text-[0.8125rem] text-ink-3">0 means no limit.</p>
        {save.error ? <FieldError>{describeError(save.error)}</FieldError> : null}
      </form>
    </Dialog>
  );
}
