/** Believable answers of the server, for component tests and for `vite --mode mock`. */

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const ago = (ms: number) => new Date(Date.now() - ms).toISOString();
const ahead = (ms: number) => new Date(Date.now() + ms).toISOString();

const ALL_ACTIONS = [
  "edit",
  "delete",
  "test",
  "launch",
  "unschedule",
  "pause",
  "resume",
  "cancel",
  "retry_failed",
  "settle_uncertain",
  "duplicate",
];

export function counts(changes: Record<string, number> = {}) {
  const parts = {
    queued: 0,
    sending: 0,
    sent: 0,
    failed: 0,
    uncertain: 0,
    suppressed: 0,
    cancelled: 0,
    expired: 0,
    ...changes,
  };
  return { ...parts, total: Object.values(parts).reduce((sum, part) => sum + part, 0) };
}

export function campaign(changes: Record<string, unknown> = {}) {
  const allowed = Array.isArray(changes.allowed_actions) ? changes.allowed_actions : ["duplicate", "test"];
  return {
    id: "cmp_1",
    name: "Spring letter",
    subject: "What blooms in April, {{ first_name }}",
    preview_text: "Six things to plant now",
    html: "<h1>Spring</h1><p>Dear {{ first_name }}, it is time.</p>",
    text: null,
    sender_id: "snd_1",
    sender: { name: "Harbour Books", email: "hello@harbour.example" },
    audience: {
      kind: "import",
      import_id: "imp_1",
      list_ids: null,
      contact_count: null,
      label: "customers.csv",
      columns: ["city", "first_name"],
    },
    pacing: "burst",
    uncertain_policy: "hold",
    limit: null,
    status: "sent",
    error: null,
    counts: counts({ sent: 12_102, failed: 214, uncertain: 3, suppressed: 161 }),
    recipients_estimate: 12_480,
    excluded_duplicates: 12,
    scheduled_at: ago(26 * HOUR),
    launched_at: ago(27 * HOUR),
    started_at: ago(26 * HOUR),
    paused_at: null,
    finished_at: ago(25 * HOUR),
    created_at: ago(30 * HOUR),
    updated_at: ago(25 * HOUR),
    blocked_actions: Object.fromEntries(
      ALL_ACTIONS.filter((action) => !allowed.includes(action)).map((action) => [
        action,
        `The campaign is not in a state for this (${action}).`,
      ]),
    ),
    ...changes,
    allowed_actions: allowed,
  };
}

export const sendingCampaign = campaign({
  id: "cmp_2",
  name: "Harbour news, November",
  subject: "New on the shelves this week",
  status: "sending",
  counts: counts({ sent: 412, failed: 9, sending: 2, queued: 577 }),
  recipients_estimate: 1000,
  scheduled_at: ago(25 * MINUTE),
  started_at: ago(25 * MINUTE),
  finished_at: null,
  limit: { id: "lim_2", limit: 20, window_s: 60 },
  pacing: "smooth",
  allowed_actions: ["pause", "cancel", "duplicate", "retry_failed", "test"],
});

export const scheduledCampaign = campaign({
  id: "cmp_3",
  name: "Winter sale",
  subject: "From tomorrow: everything warm",
  status: "scheduled",
  counts: counts(),
  recipients_estimate: 8_250,
  scheduled_at: ahead(6 * HOUR + 12 * MINUTE),
  started_at: null,
  finished_at: null,
  allowed_actions: ["pause", "cancel", "unschedule", "duplicate", "test"],
});

export const draftCampaign = campaign({
  id: "cmp_4",
  name: "Reading evening",
  subject: "",
  html: null,
  audience: null,
  status: "draft",
  counts: counts(),
  recipients_estimate: null,
  scheduled_at: null,
  started_at: null,
  finished_at: null,
  blocked_actions: { launch: "Choose who gets it: an import, lists or contacts. Write a subject." },
  allowed_actions: ["edit", "delete", "test", "duplicate"],
});

export const readyDraft = campaign({
  id: "cmp_5",
  name: "Members' letter",
  status: "draft",
  counts: counts(),
  scheduled_at: null,
  started_at: null,
  finished_at: null,
  allowed_actions: ["edit", "delete", "test", "launch", "duplicate"],
});

export const campaigns = [sendingCampaign, scheduledCampaign, draftCampaign, readyDraft, campaign()];

export const accounts = [{ id: "acc_1", name: "Demo", role: "owner", current: true }];

export const me = {
  user: { id: "usr_1", email: null, name: "Demo visitor", picture_url: null, is_admin: false, created_at: ago(HOUR) },
  account: { id: "acc_1", name: "Demo", demo: true, transport: "sandbox", created_at: ago(HOUR) },
  role: "owner",
  accounts,
  permissions: ["admin", "read", "send"],
  scopes: ["admin", "read", "send"],
  demo: true,
};

export const limits = [
  {
    id: "lim_1",
    scope: "account",
    campaign_id: null,
    campaign_name: null,
    limit: 1000,
    window_s: 3600,
    used: 412,
    next_free_at: null,
    resumes_at: null,
    degraded: false,
    created_at: ago(HOUR),
    updated_at: ago(HOUR),
  },
  {
    id: "lim_2",
    scope: "campaign",
    campaign_id: "cmp_2",
    campaign_name: "Harbour news, November",
    limit: 20,
    window_s: 60,
    used: 20,
    next_free_at: ahead(14_000),
    resumes_at: ahead(14_000),
    degraded: false,
    created_at: ago(HOUR),
    updated_at: ago(HOUR),
  },
];

export const overview = {
  next_scheduled: [
    { id: "cmp_3", name: "Winter sale", scheduled_at: scheduledCampaign.scheduled_at, recipients: 8250 },
  ],
  next_messages: { scheduled: 42, next_at: ahead(3 * HOUR) },
  sending_now: [
    {
      id: "cmp_2",
      name: sendingCampaign.name,
      status: "sending",
      scheduled_at: sendingCampaign.scheduled_at,
      started_at: sendingCampaign.started_at,
      ...sendingCampaign.counts,
      per_second: 0.3,
      resumes_at: ahead(14_000),
    },
  ],
  last_24_h: Array.from({ length: 24 }, (_, at) => ({
    hour: new Date(Math.floor(Date.now() / HOUR) * HOUR - (23 - at) * HOUR).toISOString(),
    sent: at === 2 || at === 3 ? 0 : Math.round(260 + 240 * Math.sin(at / 3.1)),
    failed: at % 6 === 0 ? 18 : 0,
    retried: 0,
  })),
  limits,
};

export const progress = {
  status: "sending",
  ...sendingCampaign.counts,
  per_second: 0.3,
  started_at: sendingCampaign.started_at,
  finishes_at: ahead(29 * MINUTE),
  resumes_at: ahead(14_000),
  lateness_ms: { p50: 6, p99: 31, max: 44 },
};

export const throughput = {
  step_s: 1,
  points: Array.from({ length: 280 }, (_, at) => ({
    at: new Date(Math.floor(Date.now() / 1000) * 1000 - (280 - at) * 1000).toISOString(),
    sent: Math.max(0, Math.round(3 + 2.4 * Math.sin(at / 17) + 1.2 * Math.sin(at / 3))),
    failed: at % 41 === 0 ? 1 : 0,
    retried: at % 67 === 0 ? 1 : 0,
  })),
};

const PEOPLE = [
  "ada",
  "grace",
  "alan",
  "edsger",
  "barbara",
  "donald",
  "margaret",
  "tim",
  "radia",
  "leslie",
  "frances",
  "john",
];
const CITIES = ["Bremen", "Lisbon", "Oslo", "Turin"];

export const messages = PEOPLE.map((name, at) => ({
  id: `msg_${at}`,
  to: `${name}@mail${at % 3}.example`,
  subject: at % 4 === 0 ? "Your receipt" : null,
  status: at === 1 ? "failed" : at === 2 ? "uncertain" : at === 5 ? "queued" : "sent",
  attempt_count: at === 5 ? 0 : 1,
  scheduled_at: ago(20 * MINUTE - at * 1000),
  created_at: ago(21 * MINUTE),
  sent_at: at === 1 || at === 2 || at === 5 ? null : ago(19 * MINUTE - at * 1000),
  settled_at: at === 5 ? null : ago(19 * MINUTE - at * 1000),
  campaign_id: "cmp_2",
  contact_id: `ctc_${at}`,
  last_reply: at === 1 ? "550 5.1.1 No such user" : at === 2 ? null : at === 5 ? null : "250 2.0.0 OK",
  tags: [],
}));

export const scheduledMessages = PEOPLE.slice(0, 5).map((name, at) => ({
  ...messages[0],
  id: `msg_s${at}`,
  to: `${name}@mail.example`,
  subject: "Your appointment tomorrow",
  status: "queued",
  campaign_id: null,
  sent_at: null,
  settled_at: null,
  last_reply: null,
  attempt_count: 0,
  scheduled_at: ahead((at + 3) * HOUR),
}));

export const messageDetail = {
  ...messages[0],
  deadline: null,
  sender_id: "snd_1",
  html: null,
  text: null,
  variables: {},
  attempts: [{ attempt: 1, outcome: "sent", reply: "250 2.0.0 OK", at: ago(15 * MINUTE) }],
  waits: [{ reason: "limit", started_at: ago(20 * MINUTE), ended_at: ago(15 * MINUTE), seconds: 312 }],
  explanation: ["waited 312 s on the hourly limit", "250 2.0.0 OK"],
  allowed_actions: [],
};

export const contacts = PEOPLE.map((name, at) => ({
  id: `ctc_${at}`,
  email: `${name}@mail${at % 3}.example`,
  attributes: {
    first_name: name.charAt(0).toUpperCase() + name.slice(1),
    city: CITIES[at % 4] ?? "",
    plan: at % 2 ? "monthly" : "yearly",
  },
  suppressed: at === 3 ? "unsubscribe" : null,
  created_at: ago(at * HOUR),
  updated_at: ago(at * HOUR),
}));

export const lists = [
  {
    id: "lst_1",
    name: "Newsletter",
    description: "",
    contact_count: 12_480,
    created_at: ago(90 * HOUR),
    updated_at: ago(HOUR),
  },
  {
    id: "lst_2",
    name: "Members",
    description: "",
    contact_count: 310,
    created_at: ago(80 * HOUR),
    updated_at: ago(HOUR),
  },
];

export const suppressions = [
  { id: "sup_1", email: "gone@mail.example", reason: "hard_bounce", note: "", message_id: null, created_at: ago(HOUR) },
  {
    id: "sup_2",
    email: "enough@mail.example",
    reason: "unsubscribe",
    note: "",
    message_id: null,
    created_at: ago(3 * HOUR),
  },
  {
    id: "sup_3",
    email: "boss@mail.example",
    reason: "manual",
    note: "asked by phone",
    message_id: null,
    created_at: ago(70 * HOUR),
  },
];

export function importJob(changes: Record<string, unknown> = {}) {
  return {
    id: "imp_1",
    filename: "customers.csv",
    status: "done",
    size_bytes: 812_000,
    encoding: "utf-8",
    delimiter: ";",
    columns: ["E-Mail", "Vorname", "Ort"],
    sample_rows: [
      ["ada@mail.example", "Ada", "Bremen"],
      ["grace@mail.example", "Grace", "Oslo"],
    ],
    suggested_mapping: { email: "E-Mail", first_name: "Vorname", city: "Ort" },
    mapping: { email: "E-Mail", first_name: "Vorname", city: "Ort" },
    notes: [],
    list_id: null,
    on_conflict: "update",
    rows_total: 12_650,
    rows_read: 12_650,
    contacts_created: 12_102,
    contacts_updated: 378,
    rows_unchanged: 0,
    rows_duplicate: 12,
    rows_rejected: 158,
    error: null,
    created_at: ago(2 * HOUR),
    started_at: ago(2 * HOUR),
    finished_at: ago(2 * HOUR),
    ...changes,
  };
}

export const senders = [
  {
    id: "snd_1",
    name: "Harbour Books",
    email: "hello@harbour.example",
    reply_to: null,
    relay_id: null,
    is_default: true,
    created_at: ago(HOUR),
    updated_at: ago(HOUR),
  },
  {
    id: "snd_2",
    name: "Events",
    email: "events@harbour.example",
    reply_to: "desk@harbour.example",
    relay_id: null,
    is_default: false,
    created_at: ago(HOUR),
    updated_at: ago(HOUR),
  },
];

export const relays = [
  {
    id: "rly_1",
    name: "Main relay",
    host: "smtp.harbour.example",
    port: 587,
    tls: "starttls",
    username: "mailtide",
    has_password: true,
    is_default: true,
    paused_at: null,
    pause_reason: null,
    created_at: ago(HOUR),
    updated_at: ago(HOUR),
  },
];

export const apiKeys = [
  {
    id: "key_1",
    name: "Shop",
    prefix: "mt_7Qx2",
    scopes: ["read", "send"],
    created_at: ago(HOUR),
    last_used_at: ago(3 * MINUTE),
    expires_at: null,
  },
];

const mailHtml = `<div style="max-width:560px;margin:auto;font-family:Georgia,serif"><h1 style="color:#4338ca">New on the shelves</h1>
<p>Dear Ada,</p><p>six books came in this week that we would keep ourselves, if we were not in the trade.</p>
<p><a href="https://harbour.example" style="display:inline-block;padding:12px 24px;border-radius:8px;background:#4338ca;color:#fff;text-decoration:none">See them all</a></p>
<p style="color:#667">You get this because you asked for it.</p></div>`;

export const inbox = PEOPLE.map((name, at) => ({
  id: `inb_${at}`,
  message_id: `msg_${at}`,
  mail_from: "hello@harbour.example",
  to: `${name}@mail${at % 3}.example`,
  subject: at % 4 === 0 ? "Your receipt" : "New on the shelves this week",
  size_bytes: 3120 + at * 17,
  received_at: ago(at * 3 * MINUTE),
  created_at: ago(at * 3 * MINUTE),
}));

export const inboxMail = {
  ...inbox[0],
  from: "Harbour Books <hello@harbour.example>",
  header_to: "ada@mail0.example",
  html: mailHtml,
  text: "New on the shelves\n\nDear Ada,\n\nsix books came in this week.",
  headers: [
    { name: "From", value: "Harbour Books <hello@harbour.example>" },
    { name: "Message-ID", value: "<msg_0@harbour.example>" },
    { name: "List-Unsubscribe", value: "<https://harbour.example/u/x>" },
  ],
};

export const forecast = {
  recipients: 12_319,
  excluded: { duplicates: 12, suppressed: 149, invalid: 0 },
  starts_at: ahead(5000),
  finishes_at: ahead(12.4 * HOUR),
  binding_limit: { scope: "account", limit: 1000, window_s: 3600 },
  per_hour: 1000,
  faults: [],
};

export const preview = {
  subject: "What blooms in April, Ada",
  html: mailHtml,
  text: "New on the shelves\n\nDear Ada, six books came in.",
  to: "ada@mail0.example",
  warnings: [
    { code: "no_unsubscribe_link", message: "There is no unsubscribe link in the message: one is put below it." },
  ],
};

export const audienceContacts = contacts.map(({ id, email, attributes }) => ({ id, email, attributes }));

/** A person who owns two accounts, neither of them a demo. */
export const owner = {
  ...me,
  user: { ...me.user, email: "ada@harbour.example", name: "Ada Vogel" },
  account: { ...me.account, name: "Harbour Books", demo: false, transport: "smtp" },
  accounts: [
    { id: "acc_1", name: "Harbour Books", role: "owner", current: true },
    { id: "acc_2", name: "Reading Club", role: "member", current: false },
  ],
  demo: false,
};

export const team = [
  {
    id: "usr_1",
    email: "ada@harbour.example",
    name: "Ada Vogel",
    role: "owner",
    joined_at: ago(90 * HOUR),
    last_login_at: ago(HOUR),
    pending: false,
    you: true,
  },
  {
    id: "usr_2",
    email: "ben@harbour.example",
    name: "",
    role: "member",
    joined_at: ago(5 * HOUR),
    last_login_at: null,
    pending: true,
    you: false,
  },
];

export const relayTest = {
  ok: true,
  step: "done",
  detail: "The server takes mail from here.",
  reply: "221 2.0.0 Bye",
  tls_version: "TLSv1.3",
  extensions: ["PIPELINING", "SIZE 35882577", "AUTH PLAIN LOGIN"],
  duration_ms: 182,
};
