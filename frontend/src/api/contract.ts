/**
 * What the dashboard reads and sends, held against the client that is generated from /openapi.json (`npm run generate`).
 * Types only: a field that the server no longer has, or a body that it would refuse, fails `npm run types`.
 */
import type * as z from "zod";
import type { keySchema, newKeySchema } from "@/api/api-keys";
import type {
  audienceContactSchema,
  CampaignInput,
  campaignSchema,
  forecastSchema,
  previewSchema,
  progressSchema,
  throughputSchema,
} from "@/api/campaigns";
import type { contactSchema } from "@/api/contacts";
import type * as server from "@/api/generated/types.gen";
import type { importSchema, StartImport } from "@/api/imports";
import type { inboxMailSchema, inboxRowSchema } from "@/api/inbox";
import type { limitSchema } from "@/api/limits";
import type { listSchema } from "@/api/lists";
import type { meSchema } from "@/api/me";
import type { messageDetailSchema, messageSchema } from "@/api/messages";
import type { overviewSchema } from "@/api/overview";
import type { RelayInput, relaySchema, relayTestSchema } from "@/api/relays";
import type { SenderInput, senderSchema } from "@/api/senders";
import type { suppressionSchema } from "@/api/suppressions";
import type { MemberInput, memberSchema } from "@/api/team";
import type { templateDetailSchema } from "@/api/templates";

/** The fields that a schema reads and the server does not have: none. */
type Missing<Schema extends z.ZodType, Answer> = Exclude<keyof z.input<Schema>, keyof Answer>;
type None<Nothing extends never> = Nothing;
type Fits<Body extends Wanted, Wanted> = Body;

export type Answers = [
  None<Missing<typeof meSchema, server.MeOutput>>,
  None<Missing<typeof campaignSchema, server.CampaignDetailOutput>>,
  None<Missing<typeof progressSchema, server.ProgressOutput>>,
  None<Missing<typeof throughputSchema, server.ThroughputOutput>>,
  None<Missing<typeof previewSchema, server.PreviewOutput>>,
  None<Missing<typeof forecastSchema, server.ForecastOutput>>,
  None<Missing<typeof messageSchema, server.MessageOutput & server.CampaignMessagePageOutputCampaignMessageOutput>>,
  None<Exclude<Missing<typeof messageDetailSchema, server.MessageDetailOutput>, "settled_at">>,
  None<Missing<typeof overviewSchema, server.OverviewOutput>>,
  None<Missing<typeof limitSchema, server.LimitOutput>>,
  None<Missing<typeof inboxRowSchema, server.MailPageOutputMailOutput>>,
  None<Missing<typeof inboxMailSchema, server.MailDetailOutput>>,
  None<Missing<typeof contactSchema, server.ContactDetailOutput>>,
  None<Missing<typeof listSchema, server.ListOutput>>,
  None<Missing<typeof suppressionSchema, server.SuppressionOutput>>,
  None<Missing<typeof importSchema, server.ImportOutput>>,
  None<Missing<typeof senderSchema, server.SenderOutput>>,
  None<Missing<typeof relaySchema, server.RelayOutput>>,
  None<Missing<typeof relayTestSchema, server.RelayTestOutput>>,
  None<Missing<typeof memberSchema, server.MemberOutput>>,
  None<Missing<typeof audienceContactSchema, server.AudiencePageOutputAudienceContactOutput>>,
  None<Exclude<Missing<typeof keySchema, server.NewApiKeyOutput>, never>>,
  None<Missing<typeof newKeySchema, server.NewApiKeyOutput>>,
  None<Missing<typeof templateDetailSchema, server.TemplateDetailOutput>>,
];

export type Bodies = [
  Fits<keyof CampaignInput, keyof server.CampaignPatch>,
  Fits<keyof SenderInput, keyof server.SenderPatch>,
  Fits<keyof RelayInput, keyof server.RelayInput>,
  Fits<StartImport, server.StartInput>,
  Fits<MemberInput, server.MemberInput>,
];
