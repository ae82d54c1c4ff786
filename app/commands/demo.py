"""What a demo account is filled with, so that every page has something to show at once. Set-based: well below 100 ms."""

from datetime import UTC, datetime, time, timedelta

from psycopg.types.json import Jsonb

from app.commands import campaigns
from app.commands.accounts import SignIn, add_visitor, create_account
from app.content.demo_mails import AUTUMN, EVENING, MEMBERS, DemoMail
from app.db import Conn, count, maybe, one
from app.domain.audience import ListsAudience
from app.settings import Settings
from sql import queries

#: A seeded account that nobody entered is still lively for so long: its running campaign takes 15 minutes.
_FRESH_FOR = timedelta(minutes=8)
_SENT_MESSAGES = 480
_SENT_EVERY = timedelta(seconds=30)

_FIRST_NAMES = (
    "Ada", "Amir", "Anna", "Ben", "Carla", "Chen", "Clara", "Dan", "Elena", "Emil", "Eva", "Fatima", "Felix", "Finn",
    "Grace", "Hana", "Hugo", "Ida", "Ines", "Ivan", "Jana", "Jonas", "Julia", "Kai", "Kira", "Lars", "Lena", "Leo", "Lina",
    "Luca", "Maja", "Marc", "Maria", "Mia", "Milan", "Nadia", "Nils", "Nina", "Noah", "Nora", "Olga", "Omar", "Paul",
    "Petra", "Rosa", "Sam", "Sara", "Sofia", "Theo", "Tom", "Vera", "Yara", "Zoe",
)  # fmt: skip
_LAST_NAMES = (
    "Abel", "Adler", "Arnold", "Bauer", "Becker", "Berg", "Blake", "Brandt", "Carter", "Costa", "Dahl", "Diaz", "Fischer",
    "Fox", "Garcia", "Gray", "Hall", "Hansen", "Hill", "Holm", "Ito", "Jansen", "Keller", "Khan", "Klein", "Lang", "Lee",
    "Lopez", "Marsh", "Meyer", "Moreau", "Nowak", "Okafor", "Olsen", "Park", "Quinn", "Reyes", "Rossi", "Sato", "Silva",
    "Stone", "Vogel", "Weber", "West", "Wolf", "Young", "Ziegler",
)  # fmt: skip
_CITIES = (
    "Amsterdam", "Barcelona", "Berlin", "Bologna", "Bristol", "Copenhagen", "Dublin", "Gdansk", "Ghent", "Hamburg",
    "Helsinki", "Leipzig", "Lisbon", "Lyon", "Malmo", "Marseille", "Oslo", "Porto", "Prague", "Riga", "Vienna", "Zurich",
)  # fmt: skip


def seed(conn: Conn, *, settings: Settings, now: datetime) -> bool:
    """Make one demo account for the first visitor, unless there is any: `make seed`. Returns whether it did."""
    if one(conn, queries.demo.has_account)["is_there"]:
        return False
    account_id = create_account(
        conn, name="Demo", is_demo=True, limit_per_hour=settings.account_limit_per_hour, now=now
    )
    seed_account(conn, account_id=account_id, now=now)
    return True


def enter(conn: Conn, *, settings: Settings, now: datetime) -> SignIn:
    """Give a visitor a demo account of their own: the one that `make seed` made, while it is fresh, else a new one."""
    fresh = maybe(conn, queries.demo.find_fresh_account, since=now - _FRESH_FOR)
    if fresh is not None:
        account_id = int(fresh["account_id"])
    else:
        account_id = create_account(
            conn, name="Demo", is_demo=True, limit_per_hour=settings.account_limit_per_hour, now=now
        )
        seed_account(conn, account_id=account_id, now=now)
    return add_visitor(conn, account_id=account_id, now=now)


def seed_account(conn: Conn, *, account_id: int, now: datetime) -> None:
    """Fill an empty account: 500 contacts on two lists; a campaign that was sent, one that is sending and will be for a
    quarter of an hour, and one for tomorrow at 09:00 UTC."""
    count(
        conn,
        queries.demo.insert_contacts,
        account_id=account_id,
        first_names=list(_FIRST_NAMES),
        last_names=list(_LAST_NAMES),
        cities=list(_CITIES),
        now=now,
    )
    before = now - timedelta(days=30)
    lists = one(conn, queries.demo.insert_lists, account_id=account_id, before=before)
    count(conn, queries.demo.suppress_some, account_id=account_id, before=before)
    _insert_sent(conn, account_id=account_id, list_id=lists["newsletter_id"], now=now)
    _launch(
        conn,
        MEMBERS,
        account_id=account_id,
        list_id=lists["customers_id"],
        limit=campaigns.LimitChoice(limit=20, window_s=60),
        scheduled_at=None,
        now=now,
    )
    tomorrow = datetime.combine(now.astimezone(UTC).date() + timedelta(days=1), time(9), UTC)
    _launch(
        conn,
        EVENING,
        account_id=account_id,
        list_id=lists["newsletter_id"],
        limit=None,
        scheduled_at=tomorrow,
        now=now,
    )


def _insert_sent(conn: Conn, *, account_id: int, list_id: int, now: datetime) -> None:
    """A campaign that went out over four hours, within the last day, so that the chart of the day shows it."""
    started_at = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=22)
    campaign = one(
        conn,
        queries.demo.insert_sent_campaign,
        account_id=account_id,
        name=AUTUMN.name,
        subject=AUTUMN.subject,
        preview_text=AUTUMN.preview_text,
        html=AUTUMN.html,
        text_body=None,
        audience=Jsonb({"kind": "lists", "list_ids": [list_id], "size": _SENT_MESSAGES}),
        started_at=started_at,
        finished_at=started_at + _SENT_MESSAGES * _SENT_EVERY,
    )
    one(
        conn,
        queries.demo.insert_sent_messages,
        account_id=account_id,
        campaign_id=campaign["campaign_id"],
        list_id=list_id,
        started_at=started_at,
    )


def _launch(
    conn: Conn,
    mail: DemoMail,
    *,
    account_id: int,
    list_id: int,
    limit: campaigns.LimitChoice | None,
    scheduled_at: datetime | None,
    now: datetime,
) -> None:
    """Through the same commands as a person's, so the engine really sends it."""
    changes: campaigns.CampaignChanges = {
        "name": mail.name,
        "subject": mail.subject,
        "preview_text": mail.preview_text,
        "html": mail.html,
        "audience": ListsAudience((list_id,)),
        "pacing": "smooth" if limit else "burst",
        "limit": limit,
    }
    campaign_id = campaigns.create(conn, account_id=account_id, changes=changes, now=now)
    campaigns.launch(conn, account_id=account_id, campaign_id=campaign_id, scheduled_at=scheduled_at, now=now)
