import { useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, useNavigate } from "@tanstack/react-router";
import { CalendarClock, Gauge, Rocket, TriangleAlert, Waves, Zap } from "lucide-react";
import { useState } from "react";
import {
  blockedReason,
  type Campaign,
  campaignQuery,
  type Forecast,
  forecastQuery,
  launchCampaign,
} from "@/api/campaigns";
import { describeError } from "@/api/http";
import { announceLaunch } from "@/features/compose/launch-undo";
import { useContentFaults } from "@/features/compose/use-content-faults";
import { asSentence, type Draft } from "@/features/compose/use-draft";
import { formatCount, formatLimit, formatSpan, plural, viewerZone } from "@/lib/format";
import { toInstant, toWallTime, type WallTime } from "@/lib/zoned";
import { Button } from "@/ui/button";
import { Checkbox } from "@/ui/checkbox";
import { ChoiceCards } from "@/ui/choice-cards";
import { DateTimeZoneField } from "@/ui/date-time-zone-field";
import { Dialog } from "@/ui/dialog";
import { Field, Input } from "@/ui/field";
import { Notice } from "@/ui/panel";
import { Select } from "@/ui/select";
import { QueryState } from "@/ui/states";
import { Time } from "@/ui/time";

const HOUR_MS = 3_600_000;

/** What is chosen under "When". The time is kept while "Now" is chosen. */
export type When = { mode: "now" | "later"; wall: WallTime };

type ScheduleStepProps = {
  campaign: Campaign;
  draft: Draft;
  version: string;
  when: When;
  onWhen: (when: When) => void;
};

/** When they get it, how fast, and what that means. */
export function ScheduleStep({ campaign, draft, version, when, onWhen }: ScheduleStepProps) {
  const { mode, wall } = when;
  const instant = toInstant(wall);
  const at = mode === "later" && instant.kind === "at" ? instant.at : null;
  return (
    <div className="grid items-start gap-6 xl:grid-cols-[minmax(0,1fr)_22rem]">
      <div className="flex min-w-0 flex-col gap-6">
        <Section title="When">
          <ChoiceCards
            label="When"
            value={mode}
            onChange={(chosen) => onWhen({ mode: chosen, wall })}
            choices={[
              {
                value: "now",
                title: "Now",
                text: "The first messages go within a second.",
                icon: <Rocket aria-hidden className="size-4 text-accent-text" />,
              },
              {
                value: "later",
                title: "At a time",
                text: "To the second. It can be taken back until then.",
                icon: <CalendarClock aria-hidden className="size-4 text-accent-text" />,
              },
            ]}
          />
          {mode === "later" ? (
            <DateTimeZoneField value={wall} onChange={(chosen) => onWhen({ mode, wall: chosen })} />
          ) : null}
        </Section>
        <Section title="How fast">
          <ChoiceCards
            label="How fast"
            value={draft.fields.pacing}
            onChange={(pacing) => draft.set({ pacing })}
            choices={[
              {
                value: "burst",
                title: "As fast as allowed",
                text: "Fill each window of the limits at once.",
                icon: <Zap aria-hidden className="size-4 text-accent-text" />,
              },
              {
                value: "smooth",
                title: "Spread evenly",
                text: "Kinder to mailboxes and to your reputation.",
                icon: <Waves aria-hidden className="size-4 text-accent-text" />,
              },
            ]}
          />
          <OwnLimit draft={draft} />
        </Section>
        <Section title="If an answer is lost">
          <ChoiceCards
            label="If an answer is lost"
            value={draft.fields.uncertain_policy}
            onChange={(policy) => draft.set({ uncertain_policy: policy })}
            choices={[
              {
                value: "hold",
                title: "Let me decide",
                text: "The message is listed as uncertain. Nobody gets it twice.",
              },
              { value: "resend", title: "Send it again", text: "Somebody may get it twice; nobody is left out." },
            ]}
          />
        </Section>
      </div>
      <ForecastPanel
        campaign={campaign}
        draft={draft}
        at={at}
        version={version}
        isTimeValid={mode === "now" || instant.kind === "at"}
      />
    </div>
  );
}

function Section({ title, children }: { title: string; children: React.ReactNode }) {
  return (
    <section aria-label={title} className="flex flex-col gap-3">
      <h3 className="text-[0.9375rem] font-semibold tracking-tight">{title}</h3>
      {children}
    </section>
  );
}

export function nowOrNextFullHour(): When {
  const soon = new Date(Math.ceil((Date.now() + HOUR_MS / 2) / HOUR_MS) * HOUR_MS);
  return { mode: "now", wall: toWallTime(soon, viewerZone()) };
}

const WINDOWS = [
  { value: "1", label: "second" },
  { value: "60", label: "minute" },
  { value: "3600", label: "hour" },
  { value: "86400", label: "day" },
] as const;

function OwnLimit({ draft }: { draft: Draft }) {
  const { limit } = draft.fields;
  const window = WINDOWS.find((each) => each.value === String(limit?.window_s))?.value ?? "3600";
  return (
    <div className="flex flex-col gap-3">
      <Checkbox
        checked={limit !== null}
        onChange={(on) => draft.set({ limit: on ? { limit: 500, window_s: 3600 } : null })}
        hint="Besides the account's limit. Counted in a sliding window."
      >
        A limit for this campaign alone
      </Checkbox>
      {limit !== null ? (
        <div className="flex items-end gap-2 pl-8">
          <Field label="At most" className="w-32" error={draft.faults.limit}>
            {(ids) => (
              <Input
                {...ids}
                type="number"
                min={1}
                inputMode="numeric"
                value={limit.limit || ""}
                onChange={(event) =>
                  draft.set({ limit: { ...limit, limit: Math.max(0, Math.floor(Number(event.target.value))) } })
                }
                className="num"
              />
            )}
          </Field>
          <span className="pb-2.5 text-sm text-ink-2">per</span>
          <Select
            label="Window"
            value={window}
            options={WINDOWS}
            onChange={(value) => draft.set({ limit: { ...limit, window_s: Number(value) } })}
            className="w-32"
          />
        </div>
      ) : null}
    </div>
  );
}

type ForecastPanelProps = { campaign: Campaign; draft: Draft; at: Date | null; version: string; isTimeValid: boolean };

function ForecastPanel({ campaign, draft, at, version, isTimeValid }: ForecastPanelProps) {
  const forecast = useQuery({ ...forecastQuery(campaign.id, at, version), enabled: campaign.audience !== null });
  const [isAsking, setIsAsking] = useState(false);
  const navigate = useNavigate();
  const queryClient = useQueryClient();
  const launch = useMutation({
    mutationFn: async () => {
      if (!(await draft.flush())) throw new Error("The draft could not be saved: see what is marked in the content.");
      return launchCampaign(campaign.id, at);
    },
    onSuccess: async (after) => {
      queryClient.setQueryData(campaignQuery(campaign.id).queryKey, after);
      void queryClient.invalidateQueries({ queryKey: ["campaigns"] });
      await navigate({ to: "/campaigns/$id", params: { id: campaign.id }, search: {} });
      announceLaunch(after, queryClient, () => {
        void navigate({ to: "/campaigns/$id/compose", params: { id: campaign.id }, search: { step: "schedule" } });
      });
    },
  });
  const contentFault = describeContentFaults(useContentFaults(campaign, version, { asked: true }));
  const reason = !isTimeValid ? "Choose a time that exists." : (blockedReason(campaign, "launch") ?? contentFault);
  const act = at === null ? "Launch now" : "Schedule";
  return (
    <aside aria-label="Forecast" className="glass sticky top-6 flex flex-col gap-4 p-5">
      <h3 className="flex items-center gap-2 text-[0.9375rem] font-semibold tracking-tight">
        <Gauge aria-hidden className="size-4 text-accent-text" /> Forecast
      </h3>
      {campaign.audience === null ? (
        <p className="text-sm text-ink-2">Choose an audience, and this shows when everyone will have it.</p>
      ) : (
        <QueryState
          query={forecast}
          what="The forecast"
          loading={<div role="status" aria-label="Loading" className="skeleton h-44" />}
        >
          {(data) => <ForecastView forecast={data} />}
        </QueryState>
      )}
      {reason !== null ? (
        <p className="text-[0.8125rem] text-warn-text">
          {reason}{" "}
          {reason === contentFault ? (
            <Link
              to="/campaigns/$id/compose"
              params={{ id: campaign.id }}
              search={{ step: "content" }}
              className="font-medium underline"
            >
              Change the content
            </Link>
          ) : null}
        </p>
      ) : null}
      <Button
        variant="primary"
        className="w-full"
        busy={launch.isPending}
        disabledReason={reason}
        icon={
          at === null ? <Rocket aria-hidden className="size-4" /> : <CalendarClock aria-hidden className="size-4" />
        }
        onClick={() => setIsAsking(true)}
      >
        {act}
      </Button>
      <Dialog
        open={isAsking}
        onClose={() => setIsAsking(false)}
        title={at === null ? "Launch it now?" : "Schedule it?"}
        description={
          at === null
            ? "The first messages go at once. What is sent cannot be taken back."
            : "You can take it back to a draft until it begins."
        }
        footer={
          <>
            <Button onClick={() => setIsAsking(false)}>Not yet</Button>
            <Button variant="primary" busy={launch.isPending} onClick={() => launch.mutate()}>
              {act}
              {forecast.data ? ` to ${formatCount(forecast.data.recipients)}` : ""}
            </Button>
          </>
        }
      >
        {forecast.data ? <ForecastView forecast={forecast.data} /> : null}
        {launch.error ? (
          <div className="pt-3">
            <Notice tone="bad" icon={<TriangleAlert aria-hidden className="size-4" />}>
              <span role="alert">{describeError(launch.error)}</span>
            </Notice>
          </div>
        ) : null}
      </Dialog>
    </aside>
  );
}

function ForecastView({ forecast }: { forecast: Forecast }) {
  const { duplicates, suppressed, invalid } = forecast.excluded;
  const excluded = [
    duplicates > 0 ? `${formatCount(duplicates)} given twice` : null,
    suppressed > 0 ? `${formatCount(suppressed)} want no mail` : null,
    invalid > 0 ? `${formatCount(invalid)} not valid` : null,
  ].filter((part) => part !== null);
  const lasts =
    forecast.starts_at && forecast.finishes_at
      ? (forecast.finishes_at.getTime() - forecast.starts_at.getTime()) / 1000
      : null;
  return (
    <dl className="num grid gap-3 text-sm">
      <Line
        label="Recipients"
        value={<strong className="text-xl font-semibold tracking-tight">{formatCount(forecast.recipients)}</strong>}
      />
      <Line label="Left out" value={excluded.length > 0 ? excluded.join(", ") : "nobody"} />
      {forecast.starts_at ? <Line label="Begins" value={<Time at={forecast.starts_at} />} /> : null}
      {forecast.finishes_at ? (
        <Line
          label="Everyone has it"
          value={
            <>
              <Time at={forecast.finishes_at} />
              {lasts !== null ? (
                <span className="block text-[0.8125rem] text-ink-3">after {formatSpan(Math.max(1, lasts))}</span>
              ) : null}
            </>
          }
        />
      ) : null}
      <Line
        label="Held back by"
        value={
          forecast.binding_limit
            ? `the ${forecast.binding_limit.scope === "campaign" ? "campaign's" : "account's"} limit of ${formatLimit(forecast.binding_limit.limit, forecast.binding_limit.window_s)}`
            : "no limit"
        }
      />
      {forecast.per_hour !== null ? (
        <Line label="Pace" value={`about ${plural(forecast.per_hour, "message")} per hour`} />
      ) : null}
    </dl>
  );
}

function Line({ label, value }: { label: string; value: React.ReactNode }) {
  return (
    <div className="flex items-baseline justify-between gap-4">
      <dt className="shrink-0 text-ink-2">{label}</dt>
      <dd className="min-w-0 text-right font-medium">{value}</dd>
    </div>
  );
}

const PLACES: Record<string, string> = { "/subject": "Subject", "/html": "Message", "/text": "Text version" };

/** The first fault with its place, and how many more there are; null when the content can be sent. */
function describeContentFaults(faults: Forecast["faults"]): string | null {
  const first = faults[0];
  if (first === undefined) return null;
  const more = faults.length > 1 ? ` And ${formatCount(faults.length - 1)} more.` : "";
  return `${PLACES[first.pointer] ?? "Content"}: ${asSentence(first.detail)}${more}`;
}
