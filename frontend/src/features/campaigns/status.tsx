import type { CampaignStatus, Counts } from "@/api/campaigns";
import { Badge, type Tone } from "@/ui/badge";
import type { Segment } from "@/ui/progress";

const STATES = {
  draft: { tone: "idle", label: "Draft" },
  scheduled: { tone: "info", label: "Scheduled" },
  sending: { tone: "accent", label: "Sending" },
  paused: { tone: "warn", label: "Paused" },
  sent: { tone: "good", label: "Sent" },
  cancelled: { tone: "idle", label: "Cancelled" },
  failed: { tone: "bad", label: "Failed" },
} satisfies Record<CampaignStatus, { tone: Tone; label: string }>;

export function CampaignBadge({ status }: { status: CampaignStatus }) {
  const state = STATES[status];
  return (
    <Badge tone={state.tone} live={status === "sending"}>
      {state.label}
    </Badge>
  );
}

/** The ledger in the order of a message's life, settled first: together they are the total. */
export function ledgerSegments(counts: Counts): Array<Segment & { key: keyof Counts; help: string }> {
  return [
    { key: "sent", label: "Sent", tone: "good", count: counts.sent, help: "The mail server accepted them." },
    { key: "failed", label: "Failed", tone: "bad", count: counts.failed, help: "Refused for good." },
    {
      key: "uncertain",
      label: "Uncertain",
      tone: "warn",
      count: counts.uncertain,
      help: "The connection broke before the answer: they may have arrived.",
    },
    {
      key: "suppressed",
      label: "Suppressed",
      tone: "idle",
      count: counts.suppressed,
      help: "These addresses want no mail.",
    },
    {
      key: "cancelled",
      label: "Cancelled",
      tone: "idle",
      count: counts.cancelled,
      help: "Taken back before they were sent.",
    },
    { key: "expired", label: "Expired", tone: "idle", count: counts.expired, help: "Their time ran out." },
    { key: "sending", label: "Sending", tone: "accent", count: counts.sending, help: "On the wire now." },
    { key: "queued", label: "Queued", tone: "info", count: counts.queued, help: "Waiting for their turn." },
  ];
}

/** Only what is settled or on the wire: the rest of the bar stays empty, so that it reads as progress. */
export function progressSegments(counts: Counts): Segment[] {
  return ledgerSegments(counts).filter((segment) => segment.key !== "queued");
}

export function settledCount(counts: Counts): number {
  return counts.total - counts.queued - counts.sending;
}
