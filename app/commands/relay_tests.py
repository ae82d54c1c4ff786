"""Try a relay with what is stored of it. No transaction is open while it talks, and nothing is written."""

from dataclasses import replace

from app.db import Pool, autocommit, maybe
from app.domain.errors import NotFound
from app.relay_probe import Probe, choose_helo_name, probe_relay
from app.secrets import CannotOpen, Sealer
from app.settings import RelayAddress, Settings
from sql import queries


def try_relay(pool: Pool, *, account_id: int, relay_id: int, settings: Settings) -> Probe:
    """Connect to one of the account's relays, sign in, and leave. Raises NotFound, Unavailable."""
    with autocommit(pool) as conn:
        row = maybe(conn, queries.relay_choice.find_relay, account_id=account_id, relay_id=relay_id)
    if row is None:
        raise NotFound("There is no relay with this id.")
    sealed, password = row["password_sealed"], None
    try:
        if sealed is not None:
            sealer = Sealer(settings.secret_key)
            password = sealer.open_password(bytes(sealed), account_id=account_id, relay_id=relay_id)
    except CannotOpen:
        detail = "The stored password cannot be read, because SECRET_KEY has changed. Enter the password again."
        return Probe(ok=False, step="login", detail=detail, reply=None, tls_version=None, extensions=[], duration_ms=0)
    address = RelayAddress(
        row["host"], row["port"], tls=row["tls"], username=row["username"], password=password,
        # As for deliveries: the API takes a password without TLS only for relays on a private wire.
        allow_plain_auth=settings.relays_allow_private,
    )  # fmt: skip
    found = probe_relay(
        address, helo_name=choose_helo_name(settings.public_url), allow_private=settings.relays_allow_private
    )
    if found.ok and row["paused_at"] is not None:
        return replace(found, detail=f"{found.detail} The relay is still paused: save it, and it sends again.")
    return found
