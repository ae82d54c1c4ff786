import type { Message } from "@/api/messages";
import { Badge, type Tone } from "@/ui/badge";

const STATES = {
  scheduled: { tone: "info", label: "Scheduled" },
  queued: { tone: "info", label: "Queued" },
  sending: { tone: "accent", label: "Sending" },
  sent: { tone: "good", label: "Sent" },
  failed: { tone: "bad", label: "Failed" },
  uncertain: { tone: "warn", label: "Uncertain" },
  suppressed: { tone: "idle", label: "Suppressed" },
  cancelled: { tone: "idle", label: "Cancelled" },
  expired: { tone: "idle", label: "Expired" },
} satisfies Record<Message["status"], { tone: Tone; label: string }>;

export function MessageBadge({ status }: { status: Message["status"] }) {
  const state = STATES[status];
  return (
    <Badge tone={state.tone} live={status === "sending"}>
      {state.label}
    </Badge>
  );
}
