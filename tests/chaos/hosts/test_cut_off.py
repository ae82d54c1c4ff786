"""Two workers on hosts of their own, the servers on a third. One is cut off in the middle of a campaign, and back."""

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from app.embedded import EmbeddedPostgres, EmbeddedValkey
from app.public_ids import PublicIds
from sql.migrate import migrate
from tests.acceptance.stack import wait_for
from tests.chaos import facts
from tests.chaos.hosts import network
from tests.chaos.judge import Facts, Faults, Limit, Verdict, judge
from tests.chaos.proxy import ProxyThread
from tests.chaos.stack import CONNECTIONS, Sink, Stack
from tests.factories import a_scheduled_campaign, an_account, some_contacts

pytestmark = pytest.mark.skipif(network.why_not() is not None, reason=str(network.why_not()))

#: Longer than a silence for which jobs are given to others (15 s).
AWAY_S = 20.0
TIGHT = (60, 3.0)  # messages, seconds
PEOPLE = {"open": 3000, "tight": 450}


@contextmanager
def running_servers(net: network.Hosts) -> Iterator[Stack]:
    """PostgreSQL, Valkey and the relay here, and a worker on each of the two other hosts."""
    folder = Path(tempfile.mkdtemp(prefix="mailtide-hosts-"))
    folder.chmod(0o755)
    rules = folder / "pg_hba.conf"
    rules.write_text(f"host all all 127.0.0.1/32 scram-sha-256\nhost all all {network.NETWORK} scram-sha-256\n")
    postgres = EmbeddedPostgres(
        folder / "postgres",
        options=(f"listen_addresses=127.0.0.1,{network.SERVER_ADDRESS}", f"hba_file={rules}", "fsync=off"),
    )
    valkey, proxies, sink = EmbeddedValkey(folder / "valkey"), ProxyThread(), None
    try:
        postgres.start()
        migrate(postgres.url)
        valkey.start()
        sink = Sink(folder, "hosts", host=network.SERVER_ADDRESS)
        stack = Stack(
            folder, postgres, valkey, sink, proxies,
            proxies.open(sink.port), proxies.open(postgres.port), proxies.open(valkey.port),
        )  # fmt: skip
        with stack.redis as client:
            client.config_set("bind", f"127.0.0.1 {network.SERVER_ADDRESS}")
            client.config_set("protected-mode", "no")
        stack.add_workers(2)
        for worker in stack.workers:
            worker.command = net.on(worker.number, [sys.executable, "-m", "worker.main"])
            worker.environment |= {
                "DATABASE_URL": postgres.url.replace("127.0.0.1", network.SERVER_ADDRESS),
                "REDIS_URL": valkey.url.replace("127.0.0.1", network.SERVER_ADDRESS),
                "SMTP_URL": f"smtp://{network.SERVER_ADDRESS}:{sink.port}?tls=none",
            }
            worker.start()
        wait_for(lambda: stack.ask(facts.count_live_workers) == 2)
        yield stack
    finally:
        for worker in stack.workers:
            print(worker.log.read_text()[-4000:])
        stack.stop_workers()
        proxies.close()
        if sink is not None:
            sink.stop()
        valkey.stop()
        postgres.stop(mode="immediate")
        shutil.rmtree(folder, ignore_errors=True)


def launch(stack: Stack, people: int, *, limit: tuple[int, float] | None = None) -> tuple[int, int]:
    """A campaign in an account of its own, under way; both their numbers."""

    def go(conn: psycopg.Connection[object]) -> tuple[int, int]:
        conn.row_factory = psycopg.rows.tuple_row  # type: ignore[assignment]
        account_id = an_account(conn, limit=limit[0] if limit else 0, transport="relay")
        if limit is not None:
            conn.execute("UPDATE limits SET window_s = %s WHERE account_id = %s", (limit[1], account_id))
        contacts = some_contacts(conn, account_id, people, domain=f"a{account_id}.test")
        return account_id, a_scheduled_campaign(conn, account_id, contacts, uncertain_policy="resend")

    return stack.ask(go)  # type: ignore[arg-type]


def value(stack: Stack, statement: str, *params: object) -> int:
    def go(conn: psycopg.Connection[dict[str, int]]) -> int:
        row = conn.execute(statement.encode(), params).fetchone()
        return next(iter(row.values())) if row is not None else 0

    return stack.ask(go)


def leader_host(stack: Stack, net: network.Hosts) -> int:
    """The host whose worker leads: to lose that one is the harder case."""
    address = stack.ask(
        lambda conn: conn.execute(
            "SELECT host(client_addr) AS at FROM pg_stat_activity JOIN pg_locks USING (pid)"
            " WHERE application_name = 'mailtide-clock' AND locktype = 'advisory' AND granted"
        ).fetchone()
    )
    return 0 if address is None or address["at"] == net.address(0) else 1


def judge_all(stack: Stack, accounts: dict[str, int], *, mended_at: float, recovery_s: float) -> Verdict:
    """The verdict. Bodies that were in the kernel when the cable was pulled arrive when it is back, one for each
    connection at most, whatever the sender decided meanwhile: they count as duplicates, and in no window."""
    key = stack.ask(lambda conn: conn.execute("SELECT id_key FROM installation").fetchone())
    assert key is not None
    ids = PublicIds(bytes(key["id_key"]))
    rows = stack.ask(lambda conn: facts.read_rows(conn, list(accounts.values())))
    accepts = stack.sink.accepted(lambda text: ids.decode("message", text), since=0)
    doubtful = {row.message_id for row in rows if row.crash_doubts}
    late = [accept for accept in accepts if accept.message_id in doubtful and accept.at > mended_at]
    assert len(late) <= CONNECTIONS
    limits = [Limit("tight", *TIGHT, accounts["tight"])]
    in_time = [accept for accept in accepts if accept not in late]
    windows = judge(Facts(rows, in_time, limits)).windows
    assert windows["tight"][0] <= windows["tight"][1]
    return judge(
        Facts(
            rows, accepts, faults=Faults(ends=1, connections=CONNECTIONS), recovery_s=recovery_s,
            ill=facts.ask_doctor(stack.connect),
        )
    )  # fmt: skip


def until_final(stack: Stack, accounts: list[int], watch: Callable[[], None] = lambda: None) -> None:
    def final() -> bool:
        watch()
        stack.ask(lambda conn: facts.hasten(conn, accounts))
        return not any(stack.ask(lambda conn: facts.read_open(conn, accounts)).values())

    wait_for(final, 90.0, every_s=0.5)


@pytest.mark.slow
def test_row_04_a_host_cut_off_in_the_middle_of_a_campaign_loses_nothing_and_comes_back_by_itself() -> None:
    with network.hosts(2) as net, running_servers(net) as stack:
        stack.sink.ask(delay_s=0.02)
        accounts = {
            "open": launch(stack, PEOPLE["open"])[0],
            "tight": launch(stack, PEOPLE["tight"], limit=TIGHT)[0],
        }
        wait_for(lambda: stack.sink.ask().get("accepted", 0) > 300)
        lost = stack.workers[leader_host(stack, net)]
        process = lost.process
        net.cut(lost.number)
        cut_at = time.monotonic()
        wait_for(lambda: time.monotonic() - cut_at > AWAY_S)
        taken_back = value(stack, "SELECT count(*) FROM attempts WHERE outcome = 'uncertain'")
        mended_at = stack.ask(facts.read_clock)
        net.mend(lost.number)
        until_final(stack, list(accounts.values()))
        recovery_s = stack.ask(facts.read_clock) - mended_at
        verdict = judge_all(stack, accounts, mended_at=mended_at, recovery_s=recovery_s)
        assert verdict.breaches == []
        assert taken_back > 0, "nothing was under way on the host that was cut off"
        assert lost.process is process and lost.is_up, "it had to be started again"

        # It is one of two again: both write what they send into the seconds of a new campaign.
        wait_for(lambda: stack.ask(facts.count_live_workers) == 2)
        account_id, campaign_id = launch(stack, 1500)
        until_final(stack, [account_id])
        writers = "SELECT count(DISTINCT writer_id) FROM throughput WHERE campaign_id = %s"
        assert value(stack, writers, campaign_id) == 2
