"""The three mails of a demo account: what a small shop might send. Nobody in them is real."""

from dataclasses import dataclass

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>@TITLE@</title>
<style>
  body { margin: 0; padding: 0; background: #eef2f6; font-family: -apple-system, "Segoe UI", Roboto, Helvetica, Arial, sans-serif; color: #1d2b3a; }
  .outer { width: 100%; background: #eef2f6; }
  .card { width: 100%; max-width: 600px; background: #ffffff; border-radius: 14px; }
  .brand { padding: 28px 36px 0; font-size: 15px; font-weight: 600; letter-spacing: 0.04em; color: @ACCENT@; }
  .hero { padding: 14px 36px 0; font-size: 28px; line-height: 1.25; font-weight: 700; color: #12202e; }
  .text { padding: 14px 36px 0; font-size: 16px; line-height: 1.6; }
  .item { padding: 16px 36px 0; font-size: 15px; line-height: 1.55; }
  .item b { color: #12202e; }
  .action { padding: 26px 36px 34px; }
  .button { display: inline-block; padding: 13px 26px; border-radius: 9px; background: @ACCENT@; color: #ffffff; font-size: 16px; font-weight: 600; text-decoration: none; }
  .foot { padding: 22px 36px 34px; font-size: 12px; line-height: 1.6; color: #5b6b7c; text-align: center; }
</style>
</head>
<body>
<table role="presentation" class="outer" width="100%" cellpadding="0" cellspacing="0"><tr><td align="center" style="padding: 32px 14px 0;">
<table role="presentation" class="card" cellpadding="0" cellspacing="0">
<tr><td class="brand">TIDEWATER BOOKS</td></tr>
@BODY@
</table>
<table role="presentation" class="card" style="background: transparent;" cellpadding="0" cellspacing="0">
<tr><td class="foot">Tidewater Books · 12 Harbour Street, Example Town<br>You get this because you signed up on our site.</td></tr>
</table>
</td></tr></table>
</body>
</html>
"""


@dataclass(frozen=True, slots=True)
class DemoMail:
    name: str
    subject: str
    preview_text: str
    html: str


def _page(title: str, accent: str, body: str) -> str:
    return _PAGE.replace("@TITLE@", title).replace("@ACCENT@", accent).replace("@BODY@", body.strip())


AUTUMN = DemoMail(
    name="Autumn reading list",
    subject="{{ first_name|default('Hello') }}, five books for long evenings",
    preview_text="Our staff picks for November, and a reading at the harbour.",
    html=_page(
        "Five books for long evenings",
        "#0f766e",
        """
<tr><td class="hero">Five books for long evenings</td></tr>
<tr><td class="text">Dear {{ first_name|default('reader') }},<br>the lamps go on early now. These are the five that our booksellers could not stop talking about.</td></tr>
<tr><td class="item"><b>The Salt Road</b> · a family, a ferry, forty years of weather.</td></tr>
<tr><td class="item"><b>Small Instruments</b> · essays on patience by a clockmaker.</td></tr>
<tr><td class="item"><b>North of Nothing</b> · the crime novel of the season, set on an island with one road.</td></tr>
<tr><td class="item"><b>A Field Guide to Clouds</b> · for window seats everywhere.</td></tr>
<tr><td class="item"><b>Bread, Slowly</b> · fifty recipes that need an afternoon.</td></tr>
<tr><td class="action"><a class="button" href="https://shop.example.test/autumn">See the list</a></td></tr>
""",
    ),
)

MEMBERS = DemoMail(
    name="Members' week",
    subject="Members' week is on: 20 % for you, {{ first_name|default('reader') }}",
    preview_text="Seven days, every shelf, both shops and online.",
    html=_page(
        "Members' week",
        "#b45309",
        """
<tr><td class="hero">Seven days, every shelf</td></tr>
<tr><td class="text">Hello {{ first_name|default('there') }},<br>you have been with us since {{ member_since|default('the beginning') }}, so this week is yours: 20 % on everything, online and in the shop{% if city %} nearest to {{ city }}{% endif %}.</td></tr>
<tr><td class="item"><b>Your plan:</b> {{ plan|default('Free') }}{% if plan == 'Pro' %} · delivery is free, as always{% endif %}</td></tr>
<tr><td class="item"><b>Your code:</b> MEMBERS20, until Sunday midnight</td></tr>
<tr><td class="action"><a class="button" href="https://shop.example.test/members">Start browsing</a></td></tr>
""",
    ),
)

EVENING = DemoMail(
    name="Reading at the harbour",
    subject="Thursday: an evening with the author of The Salt Road",
    preview_text="Doors open at seven. There will be soup.",
    html=_page(
        "Reading at the harbour",
        "#4338ca",
        """
<tr><td class="hero">An evening at the harbour</td></tr>
<tr><td class="text">Dear {{ first_name|default('reader') }},<br>on Thursday the author of <i>The Salt Road</i> reads from the new book, in the old customs house. Sixty chairs, one stove, soup for everybody.</td></tr>
<tr><td class="item"><b>When</b> · Thursday, doors at 19:00</td></tr>
<tr><td class="item"><b>Where</b> · Customs House, Harbour Street</td></tr>
<tr><td class="item"><b>Price</b> · free for members, 8 for guests</td></tr>
<tr><td class="action"><a class="button" href="https://shop.example.test/evening">Keep me a chair</a></td></tr>
""",
    ),
)
