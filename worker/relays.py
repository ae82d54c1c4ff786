"""Which relay an account's mail goes to, and the warm connections to each.

accounts.transport = 'sandbox'  ->  the sandbox, whatever else is set: a demo account has no other way out
the sender's relay              ->  else the account's default relay
SMTP_URL                        ->  else the sandbox
"""

from psycopg.rows import DictRow

from app.relay_probe import choose_helo_name
from app.secrets import Sealer
from app.settings import RelayAddress, Settings
from sql import queries
from worker.db import AsyncPool, maybe
from worker.smtp.pool import RelayPool

CONNECTIONS_MAX = 200


class RelayPaused(Exception):
    """The relay has refused us as a sender before; its owner has not acted yet."""


class Relays:
    """One pool of connections for each relay in use."""

    def __init__(self, settings: Settings, pool: AsyncPool) -> None:
        self._settings = settings
        self._pool = pool
        self._sealer = Sealer(settings.secret_key)
        self._pools: dict[object, RelayPool] = {}
        self.helo_name = choose_helo_name(settings.public_url)

    async def find(self, *, account_id: int, transport: str, relay_id: int | None) -> RelayPool:
        """The connections for one account's mail. Raises RelayPaused."""
        row = None
        if transport != "sandbox":
            row = await maybe(self._pool, queries.relay_choice.find_relay, account_id=account_id, relay_id=relay_id)
        return self.choose(row, account_id=account_id, transport=transport)

    def choose(self, row: DictRow | None, *, account_id: int, transport: str) -> RelayPool:
        """`find`, from a row that has find_relay's columns, or NULLs in their place. Raises RelayPaused."""
        if transport == "sandbox":
            return self._pool_for("sandbox", self._settings.sandbox)
        if row is None or row["relay_id"] is None:
            return self._pool_for("installation", self._settings.relay or self._settings.sandbox)
        if row["paused_at"] is not None:
            raise RelayPaused(row["pause_reason"] or "paused")
        key = (row["relay_id"], row["updated_at"])
        known = self._pools.get(key)
        if known is not None:
            return known
        # An account names any host: it must not lead to this machine or its network (SSRF).
        public_only = not self._settings.relays_allow_private
        return self._pool_for(key, self._address(account_id, row), public_only=public_only)

    def _address(self, account_id: int, row: DictRow) -> RelayAddress:
        password = None
        if row["password_sealed"] is not None:
            password = self._sealer.open_password(
                bytes(row["password_sealed"]), account_id=account_id, relay_id=row["relay_id"]
            )
        return RelayAddress(
            row["host"],
            row["port"],
            tls=row["tls"],
            username=row["username"],
            password=password,
            # The API takes a password without TLS only for relays on a private wire.
            allow_plain_auth=self._settings.relays_allow_private,
            in_flight=row["in_flight"],
        )

    def _pool_for(self, key: object, address: RelayAddress, *, public_only: bool = False) -> RelayPool:
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = RelayPool(
                address, helo_name=self.helo_name, size_max=CONNECTIONS_MAX, public_only=public_only
            )
        return pool

    async def close(self) -> None:
        for pool in self._pools.values():
            await pool.close()
