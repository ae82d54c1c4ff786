"""The first page in one call, and the probes."""

import pytest
from prometheus_client.parser import text_string_to_metric_families


def test_an_empty_account_has_24_empty_hours(api) -> None:
    said = api.get("/overview").json
    assert len(said["last_24_h"]) == 24
    assert {(hour["sent"], hour["failed"]) for hour in said["last_24_h"]} == {(0, 0)}
    assert said["sending_now"] == said["next_scheduled"] == []
    assert said["limits"][0]["limit"] == 1000


def test_the_overview_adds_up(api, make_api) -> None:
    other = make_api()
    for account in (api, other):
        account.rows(
            """INSERT INTO throughput (account_id, at_second, writer_id, sent, failed)
            VALUES (%(a)s, date_trunc('hour', now()), 1, 5, 1), (%(a)s, date_trunc('hour', now()), 2, 2, 0),
                   (%(a)s, now() - interval '25 hours', 1, 100, 100) RETURNING 1""", a=account.account_id,
        )  # fmt: skip
    api.rows(
        """WITH c AS (
            INSERT INTO campaigns (account_id, name, status, scheduled_at, started_at)
            VALUES (%(a)s, 'Now', 'sending', now(), now()), (%(a)s, 'Later', 'scheduled', now() + interval '1 day', NULL)
            RETURNING campaign_id, status
        )
        INSERT INTO batches (account_id, campaign_id, ordinal, due_at, total, queued, sent)
        SELECT %(a)s, campaign_id, n, now(), 10, 4, 6 FROM c, generate_series(1, 3) AS n WHERE status = 'sending'
        RETURNING 1""", a=api.account_id,
    )  # fmt: skip
    first = api.get("/overview")
    said = first.json
    assert (said["last_24_h"][-1]["sent"], said["last_24_h"][-1]["failed"]) == (7, 1)
    assert sum(hour["sent"] for hour in said["last_24_h"]) == 7
    assert [campaign["name"] for campaign in said["next_scheduled"]] == ["Later"]
    (moving,) = said["sending_now"]
    assert (moving["name"], moving["total"], moving["queued"], moving["sent"]) == ("Now", 30, 12, 18)
    assert api.get("/overview", headers={"If-None-Match": first.headers["ETag"]}).status_code == 304


def test_ready_needs_a_worker_that_beats(app, api) -> None:
    client = app.test_client()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
    assert answer.json["checks"]["database"]["ok"] is True
    assert answer.json["checks"]["redis"]["ok"] is True
    assert answer.json["checks"]["worker"]["ok"] is False
    api.rows("INSERT INTO procrastinate_workers DEFAULT VALUES RETURNING 1")
    api.services.checked = None
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json["status"]) == (200, "ready")
    api.rows("UPDATE procrastinate_workers SET last_heartbeat = now() - interval '16 seconds' RETURNING 1")
    api.services.checked = None
    assert client.get("/readyz").status_code == 503


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM schema_migrations WHERE version = (SELECT max(version) FROM schema_migrations)",
        "UPDATE schema_migrations SET version = 99 WHERE version = (SELECT max(version) FROM schema_migrations)",
    ],
)
def test_another_schema_is_not_ready(app, api, change: str) -> None:
    api.rows(f"{change} RETURNING 1")
    said = app.test_client().get("/readyz")
    assert said.status_code == 503
    assert said.json["checks"]["migrations"]["ok"] is False


def test_due_work_is_told(app, api) -> None:
    api.rows(
        """INSERT INTO due_messages (message_id, account_id, send_after)
        VALUES (1, %(a)s, now() - interval '90 seconds') RETURNING 1""", a=api.account_id,
    )  # fmt: skip
    check = app.test_client().get("/readyz").json["checks"]["oldest_due_work"]
    assert check["ok"] is True
    assert 90 <= check["value"] < 120


def test_probes_need_no_key(app) -> None:
    client = app.test_client()
    assert client.get("/healthz").json == {"status": "ok"}
    assert client.get("/version").json["name"] == "mailtide"


def test_alive_does_not_depend_on_the_database(app, api) -> None:
    api.services.pool.close()
    client = app.test_client()
    assert client.get("/healthz").status_code == 200
    assert client.get("/readyz").json["checks"]["database"]["ok"] is False
    assert client.get("/metrics").status_code == 200


def test_metrics_can_be_read_by_prometheus(app, api) -> None:
    api.rows(
        """INSERT INTO procrastinate_jobs (queue_name, task_name, scheduled_at)
        VALUES ('messages', 'send_due', now() - interval '1 minute') RETURNING 1"""
    )
    text = app.test_client().get("/metrics").get_data(as_text=True)
    samples = {
        (sample.name, sample.labels.get("task") or sample.labels.get("check")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["mailtide_check_ok", "database"] == 1
    assert samples["mailtide_check_ok", "worker"] == 0
    assert samples["mailtide_jobs_due", "send_due"] == 1
