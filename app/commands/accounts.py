"""Accounts and who may enter them: a demo visitor, an owner made by `make admin`, a person who signs in."""

from dataclasses import dataclass
from datetime import datetime
from urllib.parse import urlsplit

from app.commands.api_keys import ALL_SCOPES, create_api_key
from app.content.addresses import BadAddress, check_address
from app.db import Conn, count, maybe, one
from app.domain.errors import Fault, InvalidInput, NotPermitted
from app.reads.accounts import get_account
from app.settings import Settings
from sql import queries

DEMO_SENDER = "hello@demo.mailtide.test"
#: Demo mail stays in the sandbox, so a visitor may try real sizes.
DEMO_LIMIT_FACTOR = 10
_LIMIT_MAX = 1_000_000_000


@dataclass(frozen=True, slots=True)
class SignIn:
    """Who a session is for."""

    account_id: int
    user_id: int


@dataclass(frozen=True, slots=True)
class Owner:
    """What `make admin` made. The key's secret is nowhere else."""

    account_id: int
    account_name: str
    secret: str


@dataclass(frozen=True, slots=True)
class Identity:
    """What the identity provider says of a person, checked. `email` is verified."""

    iss: str
    sub: str
    email: str
    name: str
    picture_url: str | None


def create_account(
    conn: Conn,
    *,
    name: str,
    is_demo: bool,
    limit_per_hour: int,
    now: datetime,
    sender_email: str | None = None,
) -> int:
    """Make an account with its hourly limit (0: none) and a default sender, and return its id.

    limit_per_hour  the setting; a demo account gets ten times as much.
    sender_email    the first From address; a demo account has its own, a real one may do without.
    """
    limit = min(_LIMIT_MAX, limit_per_hour * DEMO_LIMIT_FACTOR) if is_demo else limit_per_hour
    row = one(
        conn,
        queries.accounts.insert_account,
        name=name,
        is_demo=is_demo,
        limit_per_hour=limit,
        sender_name=name,
        sender_email=DEMO_SENDER if is_demo else sender_email,
        now=now,
    )
    return int(row["account_id"])


def add_visitor(conn: Conn, *, account_id: int, now: datetime) -> SignIn:
    """Make the user of a demo account: somebody without a name or address."""
    user_id = _create_user(conn, account_id=account_id, name="Demo visitor", now=now)
    return SignIn(account_id, user_id)


def create_owner(conn: Conn, *, email: str, limit_per_hour: int, now: datetime) -> Owner:
    """Make an account owned by `email`, with a new API key of all scopes: `make admin`.

    The second call for one address makes no second account, only a new key. Whoever signs in with this address,
    verified by the identity provider, becomes this owner, once. Raises InvalidInput for a bad address.
    """
    address = check_address(email.strip())
    if isinstance(address, BadAddress):
        raise InvalidInput(f"EMAIL: {address}", [Fault("/email", str(address))])
    known = maybe(conn, queries.users.find_by_email, email=address)
    owned = known and maybe(conn, queries.accounts.find_owned_account, user_id=known["user_id"])
    if owned is not None:
        account_id = int(owned["account_id"])
    else:
        account_id = create_account(
            conn, name=address[:200], is_demo=False, limit_per_hour=limit_per_hour, now=now, sender_email=address
        )
    if known is None:
        _create_user(conn, account_id=account_id, name="", email=address, is_admin=True, now=now)
    else:
        # Somebody who was only let into other people's accounts becomes the owner of one of their own.
        ids = {"account_id": account_id, "user_id": known["user_id"]}
        count(conn, queries.accounts.insert_membership, role="owner", now=now, **ids)
        count(conn, queries.users.make_admin, user_id=known["user_id"])
    account = get_account(conn, account_id=account_id)
    made = create_api_key(
        conn, account_id=account_id, name="make admin", scopes=sorted(ALL_SCOPES), expires_at=None, now=now
    )
    return Owner(account_id, account["name"], made.secret)


def sign_in(conn: Conn, identity: Identity, *, settings: Settings, now: datetime) -> SignIn:
    """Let a person in, or refuse.

    1. someone with this (iss, sub): them, whatever their address is now, and what that address was invited to
    2. somebody who was invited, or an owner made by `make admin`, with this address and no identity yet: they get this
       one, once; no setting keeps them out. One whom ADMIN_EMAILS names gets an account of their own all the same
    3. somebody new: only when ADMIN_EMAILS or SIGNUP_DOMAINS names them; they get an account of their own

    Raises NotPermitted.
    """
    who = {"iss": identity.iss, "sub": identity.sub, "email": identity.email, "name": identity.name}
    known = maybe(conn, queries.users.note_login, **who, picture_url=identity.picture_url, now=now)
    if known is not None:
        count(conn, queries.users.adopt_invitations, user_id=known["user_id"], email=identity.email)
    else:
        known = maybe(conn, queries.users.link_user, **who, picture_url=identity.picture_url, now=now)
    is_admin = identity.email.lower() in settings.admin_email_set
    if known is not None:
        user_id = int(known["user_id"])
        if is_admin and maybe(conn, queries.accounts.find_owned_account, user_id=user_id) is None:
            account_id = _create_own_account(conn, identity, settings=settings, now=now)
            count(
                conn, queries.accounts.insert_membership, account_id=account_id, user_id=user_id, role="owner", now=now
            )
            count(conn, queries.users.make_admin, user_id=user_id)
        return SignIn(account_of_user(conn, user_id=user_id), user_id)
    if not is_admin and identity.email.lower().rpartition("@")[2] not in settings.signup_domain_set:
        raise NotPermitted(
            "This address may not sign up here. Ask the operator to add it to ADMIN_EMAILS or its domain to SIGNUP_DOMAINS.",
            code="sign_up_closed",
        )
    account_id = _create_own_account(conn, identity, settings=settings, now=now)
    user_id = _create_user(
        conn, account_id=account_id, name=identity.name, identity=identity, is_admin=is_admin, now=now
    )
    return SignIn(account_id, user_id)


def _create_own_account(conn: Conn, identity: Identity, *, settings: Settings, now: datetime) -> int:
    return create_account(
        conn,
        name=(identity.name or identity.email)[:200],
        is_demo=False,
        limit_per_hour=settings.account_limit_per_hour,
        now=now,
        sender_email=identity.email,
    )


def account_of_user(conn: Conn, *, user_id: int) -> int:
    """The account that a user works in. Raises NotPermitted when they are in none any more."""
    row = maybe(conn, queries.accounts.find_account_of_user, user_id=user_id)
    if row is None:
        raise NotPermitted("You are not a member of any account here.", code="no_account")
    return int(row["account_id"])


def clean_picture_url(url: object) -> str | None:
    """An https URL of reasonable size, or nothing."""
    if not isinstance(url, str) or len(url) > 1000 or urlsplit(url).scheme != "https":
        return None
    return url


def _create_user(
    conn: Conn,
    *,
    account_id: int,
    name: str,
    now: datetime,
    email: str | None = None,
    identity: Identity | None = None,
    is_admin: bool = False,
) -> int:
    user = one(
        conn,
        queries.users.insert_user,
        iss=identity.iss if identity else None,
        sub=identity.sub if identity else None,
        email=identity.email if identity else email,
        name=name,
        picture_url=identity.picture_url if identity else None,
        is_admin=is_admin,
        now=now,
    )
    count(
        conn, queries.accounts.insert_membership, account_id=account_id, user_id=user["user_id"], role="owner", now=now
    )
    return int(user["user_id"])
