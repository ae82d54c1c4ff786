"""For probes and monitoring, at the root and open to all: alive, ready, metrics, version. Nothing of any account is shown."""

import platform
import threading
import time
from functools import lru_cache
from importlib import metadata
from typing import Any

import orjson
from apiflask import APIBlueprint
from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest

from app.api.context import json_response, services
from app.api.errors import problem
from app.clock import utc_now
from app.db import autocommit
from app.reads import health as reads

blueprint = APIBlueprint("health", __name__, tag="Health")

#: Probes come every second from several sides: they share one look.
CACHE_S = 0.5
METRICS_RESPONSES: dict[int | str, Any] = {
    200: {"description": "Prometheus text format.", "content": {"text/plain": {"schema": {"type": "string"}}}}
}
_lock = threading.Lock()


@blueprint.get("/healthz")
def get_health() -> Response:
    """This process answers"""
    return json_response({"status": "ok"})


@blueprint.get("/readyz")
@blueprint.doc(responses={200: "All that it needs is there.", 503: "Something is missing: `checks` says what."})
def get_readiness() -> Response:
    """Database, migrations, Redis, worker heartbeat, oldest due work"""
    checks = _check()
    shaped = {
        check.name: {"ok": check.is_ok, "detail": check.detail, "value": check.value} for check in checks
    }  # fmt: skip
    missing = [check for check in checks if not check.is_ok]
    if not missing:
        return json_response({"status": "ready", "checks": shaped})
    detail = "; ".join(f"{check.name}: {check.detail}" for check in missing)
    answer = problem(503, detail=detail, code="not_ready", headers={"Retry-After": "5"})
    answer.set_data(orjson.dumps({**orjson.loads(answer.get_data()), "checks": shaped}))
    return answer


@blueprint.get("/metrics")
@blueprint.doc(responses=METRICS_RESPONSES)
def get_metrics() -> Response:
    """Figures for Prometheus"""
    return Response(generate_latest(_collect()), content_type=CONTENT_TYPE_LATEST)


@blueprint.get("/version")
def get_version() -> Response:
    """Which version runs"""
    return json_response({"name": "mailtide", "version": read_version(), "api": "v1"})


@lru_cache(maxsize=1)
def read_version() -> str:
    try:
        return metadata.version("mailtide")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        import tomllib
        from pathlib import Path

        project = Path(__file__).parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text(encoding="utf-8"))["project"]["version"])


def _check() -> list[reads.Check]:
    held = services()
    with _lock:
        known = held.checked
        if known is None or time.monotonic() - known[0] > CACHE_S:
            known = (time.monotonic(), reads.check_all(held.pool, held.redis, now=utc_now()))
            held.checked = known
        return known[1]


def _collect() -> CollectorRegistry:
    """Everything is read from the database at the scrape: right for any number of web processes."""
    registry = CollectorRegistry()
    ready = Gauge("mailtide_check_ok", "1 when the check passes", ["check"], registry=registry)
    values = Gauge(
        "mailtide_check_value", "The check's figure: an age in seconds or a count", ["check"], registry=registry
    )
    for check in _check():
        ready.labels(check.name).set(int(check.is_ok))
        if check.value is not None:
            values.labels(check.name).set(check.value)
    info = Gauge("mailtide_build_info", "Always 1", ["version", "python"], registry=registry)
    info.labels(read_version(), platform.python_version()).set(1)
    if any(check.name == "database" and check.is_ok for check in _check()):
        _collect_work(registry)
    return registry


def _collect_work(registry: CollectorRegistry) -> None:
    now = utc_now()
    with autocommit(services().pool) as conn:
        jobs = reads.list_job_counts(conn, now=now)
        results: dict[str, Any] = reads.get_recent_results(conn, now=now)
    labels = ["queue", "task", "status"]
    gauge = Gauge("mailtide_jobs", "Rows of the queue", labels, registry=registry)
    due = Gauge(
        "mailtide_jobs_due",
        "Jobs whose time has come and that no worker has taken",
        ["queue", "task"],
        registry=registry,
    )
    for row in jobs:
        gauge.labels(row["queue_name"], row["task_name"], row["status"]).set(row["jobs"])
        if row["status"] == "todo":
            due.labels(row["queue_name"], row["task_name"]).set(row["due"])
    settled = Gauge(
        "mailtide_messages_last_minute", "Messages settled in the last minute", ["result"], registry=registry
    )
    for name, value in results.items():
        settled.labels(name).set(value)
