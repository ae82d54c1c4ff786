import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { CircleCheck, CircleHelp, CircleX, Clock3, Hourglass, Inbox, type LucideIcon, RotateCcw } from "lucide-react";
import { type MessageDetail, messageQuery } from "@/api/messages";
import { MessageBadge } from "@/features/messages/status";
import { formatSpan, formatTemplate, plural } from "@/lib/format";
import { buttonClass } from "@/ui/button";
import { Drawer } from "@/ui/drawer";
import { Notice } from "@/ui/panel";
import { QueryState } from "@/ui/states";
import { Time } from "@/ui/time";

type MessageDrawerProps = { id: string | undefined; onClose: () => void };

/** One message's whole story, over the list it came from. */
export function MessageDrawer({ id, onClose }: MessageDrawerProps) {
  return (
    <Drawer open={id !== undefined} onClose={onClose} title="Message">
      {id !== undefined ? <MessageStory id={id} /> : null}
    </Drawer>
  );
}

function MessageStory({ id }: { id: string }) {
  const query = useQuery(messageQuery(id));
  return (
    <QueryState query={query} what="The message">
      {(message) => (
        <div className="flex flex-col gap-6">
          <div>
            <div className="flex flex-wrap items-center gap-2">
              <MessageBadge status={message.status} />
              {message.attempt_count > 0 ? (
                <span className="num text-sm text-ink-2">{plural(message.attempt_count, "attempt")}</span>
              ) : null}
            </div>
            <p className="mt-2 text-lg font-semibold break-all">{message.to}</p>
            {message.subject !== null ? (
              <p className="text-sm break-words text-ink-2">{formatTemplate(message.subject)}</p>
            ) : null}
          </div>
          {message.explanation.length > 0 ? (
            <Notice tone={NOTICE_TONES[message.status] ?? "info"}>
              <span className="num">{asSentence(message.explanation)}</span>
            </Notice>
          ) : null}
          <Timeline message={message} />
          <div className="flex flex-wrap gap-2">
            <Link to="/inbox" search={{ q: message.to }} className={buttonClass("secondary", "small")}>
              <Inbox aria-hidden className="size-3.5" /> Find it in the Inbox
            </Link>
            {message.campaign_id !== null ? (
              <Link
                to="/campaigns/$id"
                params={{ id: message.campaign_id }}
                search={{}}
                className={buttonClass("ghost", "small")}
              >
                Open its campaign
              </Link>
            ) : null}
          </div>
          <p className="num text-xs break-all text-ink-3">{message.id}</p>
        </div>
      )}
    </QueryState>
  );
}

const NOTICE_TONES: Partial<Record<MessageDetail["status"], "good" | "bad" | "warn" | "info">> = {
  sent: "good",
  failed: "bad",
  uncertain: "warn",
};

/** "waited 312 s on the hourly limit; 250 2.0.0 OK" */
function asSentence(lines: string[]): string {
  const text = lines.join("; ");
  return text.charAt(0).toUpperCase() + text.slice(1);
}

type Entry = { at: Date; icon: LucideIcon; tone: string; title: string; text?: string | null };

function Timeline({ message }: { message: MessageDetail }) {
  const entries = timelineOf(message);
  if (entries.length === 0) return null;
  return (
    <section aria-label="Timeline">
      <h3 className="mb-3 text-sm font-semibold">Timeline</h3>
      <ol className="flex flex-col">
        {entries.map((entry, at) => (
          <li key={`${entry.at.getTime()}-${entry.title}`} className="relative flex gap-3 pb-5 last:pb-0">
            {at < entries.length - 1 ? (
              <span aria-hidden className="absolute top-8 bottom-0 left-[0.9375rem] w-px bg-line-3" />
            ) : null}
            <span className={`grid size-8 shrink-0 place-items-center rounded-full ${entry.tone}`}>
              <entry.icon aria-hidden className="size-4" />
            </span>
            <div className="min-w-0 pt-0.5">
              <p className="text-sm font-medium">{entry.title}</p>
              {entry.text ? <p className="font-mono text-[0.8125rem] break-words text-ink-2">{entry.text}</p> : null}
              <p className="text-xs text-ink-3">
                <Time at={entry.at} exact />
              </p>
            </div>
          </li>
        ))}
      </ol>
    </section>
  );
}

const OUTCOMES: Record<string, { icon: LucideIcon; tone: string; title: string }> = {
  sent: { icon: CircleCheck, tone: "bg-good-soft text-good-text", title: "Accepted by the mail server" },
  failed: { icon: CircleX, tone: "bg-bad-soft text-bad-text", title: "Refused for good" },
  try_later: { icon: RotateCcw, tone: "bg-warn-soft text-warn-text", title: "Refused for now, tried again later" },
  uncertain: {
    icon: CircleHelp,
    tone: "bg-warn-soft text-warn-text",
    title: "The answer was lost: it may have arrived",
  },
  expired: { icon: Hourglass, tone: "bg-hover text-ink-2", title: "Its time ran out" },
};
const WAITS: Record<string, string> = {
  limit: "on a sending limit",
  relay: "for the mail server",
  paused: "while the campaign was paused",
};

function timelineOf(message: MessageDetail): Entry[] {
  const entries: Entry[] = message.waits.map((wait) => ({
    at: wait.started_at,
    icon: Hourglass,
    tone: "bg-warn-soft text-warn-text",
    title: `${wait.ended_at ? "Waited" : "Waiting for"} ${formatSpan(wait.seconds)} ${WAITS[wait.reason] ?? wait.reason}`,
  }));
  for (const attempt of message.attempts) {
    const outcome = OUTCOMES[attempt.outcome] ?? {
      icon: CircleHelp,
      tone: "bg-hover text-ink-2",
      title: attempt.outcome,
    };
    if (attempt.at) {
      const title = message.attempts.length > 1 ? `${outcome.title} (attempt ${attempt.attempt})` : outcome.title;
      entries.push({ ...outcome, title, at: attempt.at, text: attempt.reply });
    }
  }
  if (message.scheduled_at) {
    const isAhead = message.status === "queued" && message.scheduled_at > new Date();
    entries.push({
      at: message.scheduled_at,
      icon: Clock3,
      tone: "bg-info-soft text-info-text",
      title: isAhead ? "Next try" : "Due",
    });
  }
  return entries.sort((a, b) => a.at.getTime() - b.at.getTime());
}
