"""Row 48: who reads a dump of the whole database finds nothing that opens a door."""

import base64
import os
import subprocess

import pytest

from app.embedded import postgres_bin
from app.secrets import CannotOpen, Sealer
from app.settings import Settings
from tests.integration.conftest import Api

PASSWORD = "Kobayashi-Maru/1701+relay"


def written_forms(secret: str) -> dict[str, bytes]:
    """How a secret might stand in a dump: as it is, escaped, or encoded."""
    raw = secret.encode()
    # A base64 text inside another one begins at any of three places of its first byte.
    inner = [base64.b64encode(b"\0" * shift + raw + b"\0\0")[4:-4] for shift in range(3)]
    return {
        "plain": raw, "hex": raw.hex().encode(), "base64": base64.b64encode(raw).rstrip(b"="),
        "urlsafe": base64.urlsafe_b64encode(raw).rstrip(b"="), **{f"inner {n}": text for n, text in enumerate(inner)},
        "backwards": raw[::-1],
    }  # fmt: skip


def dump(database_url: str) -> bytes:
    program = postgres_bin() / "pg_dump"
    if not program.is_file():
        pytest.skip("this PostgreSQL comes without pg_dump")
    done = subprocess.run([str(program), database_url], capture_output=True, check=True, env={**os.environ})
    return done.stdout


def test_row_48_no_password_key_or_cookie_stands_in_a_dump_in_any_form(api: Api, settings: Settings) -> None:
    relay = {
        "name": "R", "host": "smtp.example.com", "port": 587, "tls": "starttls", "username": "mailer-user",
        "password": PASSWORD,
    }  # fmt: skip
    assert api.post("/relays", relay, headers={"Idempotency-Key": "r-1"}).status_code == 201
    made = api.post("/api-keys", {"name": "K", "scopes": ["read"]}, headers={"Idempotency-Key": "k-1"})
    assert made.status_code == 201
    key = next(
        value for value in made.json.values() if isinstance(value, str) and value.startswith("mt_") and len(value) > 20
    )
    visit = api.client.post("/auth/demo")
    assert visit.status_code == 201
    cookies = [cookie.partition(";")[0].partition("=")[2] for cookie in visit.headers.getlist("Set-Cookie")]
    assert cookies
    text = dump(settings.postgres_url)
    assert b"mailer-user" in text, "the search would find nothing anyway"
    secrets = {"relay password": PASSWORD, "API key": key, "caller's key": api.key, "SECRET_KEY": settings.secret_key}
    secrets |= {f"cookie {number}": cookie for number, cookie in enumerate(cookies)}
    found = [
        f"{name}, {form}"
        for name, secret in secrets.items()
        for form, needle in written_forms(secret).items()
        if len(needle) > 12 and needle in text
    ]
    assert found == []


def test_row_48_under_another_secret_key_a_stored_password_stays_closed(api: Api, settings: Settings) -> None:
    relay = {
        "name": "R",
        "host": "smtp.example.com",
        "port": 587,
        "tls": "starttls",
        "username": "u",
        "password": PASSWORD,
    }
    assert api.post("/relays", relay).status_code == 201
    row = api.row("SELECT * FROM relays")
    (sealed,) = [value for name, value in row.items() if isinstance(value, bytes) and "password" in name]
    where = {"account_id": row["account_id"], "relay_id": row["relay_id"]}
    assert Sealer(settings.secret_key).open_password(sealed, **where) == PASSWORD
    with pytest.raises(CannotOpen):
        Sealer("another-secret-that-is-long-enough-0123456789abc").open_password(sealed, **where)
