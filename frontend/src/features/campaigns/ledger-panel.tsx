import { CircleHelp, RotateCcw } from "lucide-react";
import { useState } from "react";
import { actOnCampaign, blockedReason, type Campaign, type Counts, settleUncertain } from "@/api/campaigns";
import { ledgerSegments, progressSegments } from "@/features/campaigns/status";
import { useCampaignAct } from "@/features/campaigns/use-campaign-act";
import { formatCount, formatShare, plural } from "@/lib/format";
import type { Tone } from "@/ui/badge";
import { Button } from "@/ui/button";
import { Dialog } from "@/ui/dialog";
import { Panel } from "@/ui/panel";
import { StackedBar } from "@/ui/progress";
import { toast } from "@/ui/toast";
import { Tooltip } from "@/ui/tooltip";

const DOTS = {
  good: "bg-good",
  warn: "bg-warn",
  bad: "bg-bad",
  info: "bg-info",
  accent: "bg-accent",
  idle: "bg-idle",
} satisfies Record<Tone, string>;

/** Every message is in exactly one row, and the rows add up to the total below them. */
export function LedgerPanel({ campaign, counts }: { campaign: Campaign; counts: Counts }) {
  const segments = ledgerSegments(counts);
  const [isAsking, setIsAsking] = useState(false);
  const retry = useCampaignAct(
    () => actOnCampaign(campaign.id, "retry-failed"),
    (after) => toast.success(`${plural(after.message_count ?? 0, "message")} will be tried again.`),
  );
  return (
    <Panel title="Ledger" aside={<span className="text-[0.8125rem] text-ink-3">adds up, always</span>}>
      <StackedBar label="All messages" segments={progressSegments(counts)} total={counts.total} tall />
      <table className="mt-4 w-full text-sm">
        <caption className="sr-only">Messages by state</caption>
        <tbody>
          {segments.map((segment) => (
            <tr key={segment.key} className={segment.count === 0 ? "text-ink-3" : "text-ink"}>
              <th scope="row" className="py-1 text-left font-normal">
                <Tooltip text={segment.help}>
                  <span className="inline-flex items-center gap-2.5">
                    <span
                      aria-hidden
                      className={`size-2 rounded-full ${segment.count === 0 ? "bg-line-3" : DOTS[segment.tone]}`}
                    />
                    {segment.label}
                  </span>
                </Tooltip>
              </th>
              <td className="num py-1 text-right font-medium">{formatCount(segment.count)}</td>
              <td className="num w-16 py-1 text-right text-[0.8125rem] text-ink-3">
                {formatShare(segment.count, counts.total)}
              </td>
            </tr>
          ))}
        </tbody>
        <tfoot>
          <tr className="border-t border-line-2">
            <th scope="row" className="pt-2 text-left font-semibold">
              Total
            </th>
            <td className="num pt-2 text-right font-semibold">{formatCount(counts.total)}</td>
            <td />
          </tr>
        </tfoot>
      </table>
      <div className="mt-4 flex flex-wrap gap-2">
        <Button
          size="small"
          icon={<RotateCcw aria-hidden className="size-3.5" />}
          busy={retry.isPending}
          disabledReason={blockedReason(campaign, "retry_failed")}
          onClick={() => retry.mutate(undefined)}
        >
          Retry failed
        </Button>
        <Button
          size="small"
          icon={<CircleHelp aria-hidden className="size-3.5" />}
          disabledReason={blockedReason(campaign, "settle_uncertain")}
          onClick={() => setIsAsking(true)}
        >
          Settle uncertain
        </Button>
      </div>
      <UncertainDialog
        campaign={campaign}
        uncertain={counts.uncertain}
        open={isAsking}
        onClose={() => setIsAsking(false)}
      />
    </Panel>
  );
}

type UncertainDialogProps = { campaign: Campaign; uncertain: number; open: boolean; onClose: () => void };

function UncertainDialog({ campaign, uncertain, open, onClose }: UncertainDialogProps) {
  const settle = useCampaignAct(
    (action: "resend" | "accept") => settleUncertain(campaign.id, action),
    (after) => {
      toast.success(`${plural(after.message_count ?? uncertain, "message")} settled.`);
      onClose();
    },
  );
  return (
    <Dialog
      open={open}
      onClose={onClose}
      title={`Settle ${plural(uncertain, "uncertain message")}`}
      description="For these the connection broke after the message was handed over and before the server answered. They may have arrived, or not; nobody can know."
      footer={
        <>
          <Button busy={settle.isPending && settle.variables === "accept"} onClick={() => settle.mutate("accept")}>
            Count as sent
          </Button>
          <Button
            variant="primary"
            busy={settle.isPending && settle.variables === "resend"}
            onClick={() => settle.mutate("resend")}
          >
            Send again
          </Button>
        </>
      }
    >
      <ul className="list-disc space-y-1 pl-5 text-sm text-ink-2">
        <li>
          <strong className="text-ink">Send again</strong>: nobody is left out, somebody may get it twice. It carries
          the same Message-ID, so many mailboxes show it once.
        </li>
        <li>
          <strong className="text-ink">Count as sent</strong>: nobody gets it twice, somebody may be left out.
        </li>
      </ul>
    </Dialog>
  );
}
