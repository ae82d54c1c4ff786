import { useQuery } from "@tanstack/react-query";
import { getRouteApi, Link, Navigate } from "@tanstack/react-router";
import { ArrowLeft, ArrowRight, Check, CircleAlert, Cloud, CloudUpload } from "lucide-react";
import { useState } from "react";
import { type Campaign, campaignQuery } from "@/api/campaigns";
import { AudienceStep } from "@/features/compose/audience-step";
import { ContentStep } from "@/features/compose/content-step";
import { PreviewStep } from "@/features/compose/preview-step";
import { nowOrNextFullHour, ScheduleStep } from "@/features/compose/schedule-step";
import { useFollowImport } from "@/features/compose/use-audience";
import { useContentFaults } from "@/features/compose/use-content-faults";
import { type Draft, type SaveState, useDraft } from "@/features/compose/use-draft";
import { CsvImport } from "@/features/imports/csv-import";
import { cx } from "@/lib/cx";
import { Button } from "@/ui/button";
import { Panel } from "@/ui/panel";
import { QueryState, SkeletonRows } from "@/ui/states";
import { Tooltip } from "@/ui/tooltip";

const route = getRouteApi("/app/campaigns/$id/compose");

const STEPS = ["audience", "content", "preview", "schedule"] as const;
type Step = (typeof STEPS)[number];
const LABELS = { audience: "Audience", content: "Content", preview: "Preview", schedule: "Schedule" } satisfies Record<
  Step,
  string
>;

export function ComposePage() {
  const { id } = route.useParams();
  const campaign = useQuery(campaignQuery(id));
  return (
    <QueryState
      query={campaign}
      what="The draft"
      loading={
        <Panel>
          <SkeletonRows rows={8} />
        </Panel>
      }
    >
      {(data) =>
        data.status === "draft" ? (
          <Compose key={data.id} campaign={data} />
        ) : (
          <Navigate to="/campaigns/$id" params={{ id }} search={{}} replace />
        )
      }
    </QueryState>
  );
}

function Compose({ campaign }: { campaign: Campaign }) {
  const { step = "audience" } = route.useSearch();
  const navigate = route.useNavigate();
  const draft = useDraft(campaign);
  const [when, setWhen] = useState(nowOrNextFullHour); // here, so that it is kept when another step is looked at
  useFollowImport(campaign);
  const at = STEPS.indexOf(step);
  const before = STEPS[at - 1];
  const next = STEPS[at + 1];
  async function go(target: Step) {
    // The preview and the forecast are made by the server: it must have what was typed.
    if (target === "preview" || target === "schedule") await draft.flush();
    await navigate({ search: (old) => ({ ...old, step: target }) });
  }
  // Changes with every save and with the audience's size, so that preview and forecast are asked for anew.
  const version = `${campaign.updated_at.toISOString()}-${campaign.recipients_estimate}`;
  return (
    <div className="mx-auto max-w-6xl">
      <header className="mb-5 flex flex-wrap items-center justify-between gap-x-6 gap-y-3">
        <div className="min-w-0 flex-1 basis-72">
          <Link to="/campaigns" search={{}} className="mb-1 text-link text-ink-2 hover:text-ink pointer-coarse:!mb-0">
            <ArrowLeft aria-hidden className="size-4" /> Campaigns
          </Link>
          <h1 className="sr-only">Compose {draft.fields.name}</h1>
          <input
            aria-label="Name of the campaign"
            aria-invalid={draft.faults.name !== undefined || undefined}
            value={draft.fields.name}
            maxLength={200}
            onChange={(event) => draft.set({ name: event.target.value })}
            className="-ml-2 block w-full truncate rounded-lg border border-transparent bg-transparent px-2 py-0.5 text-[1.625rem] font-semibold tracking-[-0.02em] hover:border-line-3 focus:border-line-3 focus:bg-glass-2"
          />
          {draft.faults.name !== undefined ? (
            <p className="text-[0.8125rem] text-bad-text">{draft.faults.name}</p>
          ) : null}
        </div>
        <SaveMark state={draft.state} />
      </header>
      <Stepper campaign={campaign} draft={draft} step={step} version={version} onGo={(target) => void go(target)} />
      <Panel className="mt-4 sm:p-7">
        <h2 className="sr-only">{LABELS[step]}</h2>
        {step === "audience" ? (
          <AudienceStep campaign={campaign} renderImport={(props) => <CsvImport key={campaign.id} {...props} />} />
        ) : null}
        {step === "content" ? <ContentStep campaign={campaign} draft={draft} /> : null}
        {step === "preview" ? <PreviewStep campaign={campaign} version={version} /> : null}
        {step === "schedule" ? (
          <ScheduleStep campaign={campaign} draft={draft} version={version} when={when} onWhen={setWhen} />
        ) : null}
      </Panel>
      <footer className="mt-4 flex justify-between gap-3">
        {before ? (
          <Button icon={<ArrowLeft aria-hidden className="size-4" />} onClick={() => void go(before)}>
            {LABELS[before]}
          </Button>
        ) : (
          <span />
        )}
        {next ? (
          <Button variant="primary" onClick={() => void go(next)}>
            {LABELS[next]}
            <ArrowRight aria-hidden className="size-4" />
          </Button>
        ) : null}
      </footer>
    </div>
  );
}

type StepperProps = { campaign: Campaign; draft: Draft; step: Step; version: string; onGo: (step: Step) => void };

function Stepper({ campaign, draft, step, version, onGo }: StepperProps) {
  const { fields, faults } = draft;
  const isRefused = useContentFaults(campaign, version, { asked: step === "schedule" }).length > 0;
  const isContentBad = isRefused || [faults.subject, faults.html, faults.text, faults.preview_text].some(Boolean);
  const isDone: Record<Step, boolean> = {
    audience: campaign.audience !== null,
    content: fields.subject.trim() !== "" && (fields.html !== "" || fields.text !== "") && !isContentBad,
    preview: false,
    schedule: false,
  };
  return (
    <nav aria-label="Steps">
      <ol className="glass grid grid-cols-4 overflow-hidden !rounded-2xl p-1">
        {STEPS.map((each, at) => (
          <li key={each}>
            <button
              type="button"
              aria-current={each === step ? "step" : undefined}
              onClick={() => onGo(each)}
              className={cx(
                "flex w-full flex-col items-center gap-1 rounded-xl px-1 py-2 text-xs font-medium transition-colors sm:flex-row sm:justify-center sm:gap-2.5 sm:text-sm",
                each === step ? "bg-chosen text-ink shadow-sm" : "text-ink-2 hover:bg-hover",
              )}
            >
              <span
                aria-hidden
                className={cx(
                  "num grid size-6 shrink-0 place-items-center rounded-full text-xs font-semibold",
                  each === "content" && isContentBad
                    ? "bg-bad-soft text-bad-text"
                    : isDone[each]
                      ? "bg-good-soft text-good-text"
                      : each === step
                        ? "bg-accent-fill text-white"
                        : "bg-line-2 text-ink-2",
                )}
              >
                {isDone[each] ? <Check className="size-3.5" strokeWidth={3} /> : at + 1}
              </span>
              {LABELS[each]}
              {isDone[each] ? <span className="sr-only">, done</span> : null}
              {each === "content" && isContentBad ? <span className="sr-only">, has a fault</span> : null}
            </button>
          </li>
        ))}
      </ol>
    </nav>
  );
}

function SaveMark({ state }: { state: SaveState }) {
  const mark = "inline-flex items-center gap-1.5 text-sm";
  return (
    <div role="status" aria-live="polite">
      {state.kind === "saved" ? (
        <span className={`${mark} text-ink-2`}>
          <Cloud aria-hidden className="size-4" /> Draft saved
        </span>
      ) : state.kind === "failed" ? (
        <Tooltip text={state.reason}>
          <button type="button" className={`${mark} rounded font-medium text-bad-text`}>
            <CircleAlert aria-hidden className="size-4" /> Kept in this browser
            <span className="sr-only">: {state.reason}</span>
          </button>
        </Tooltip>
      ) : (
        <span className={`${mark} text-ink-2`}>
          <CloudUpload aria-hidden className="size-4" /> Saving…
        </span>
      )}
    </div>
  );
}
