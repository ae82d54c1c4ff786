"""What every request gets: problems for every status, an id, security headers, same-origin checks."""

import pytest


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing-here", 404, "not_found"),
        ("GET", "//nothing-here.txt", 404, "not_found"),
        ("DELETE", "/limits", 405, "method_not_allowed"),
        ("PATCH", "/limits/lim_forged", 422, "invalid_input"),
        ("GET", "/inbox/inb_forged", 404, "not_found"),
        ("GET", "/inbox?limit=0", 422, "invalid_input"),
        ("GET", "/inbox?limit=201", 422, "invalid_input"),
        ("GET", "/inbox?limit=%00", 422, "invalid_input"),
        ("GET", "/inbox?q=%00", 422, "invalid_input"),
        ("GET", "/inbox?cursor=cur_0", 422, "invalid_input"),
        ("GET", "/inbox?colour=red", 422, "invalid_input"),
    ],
)
def test_every_failure_is_a_problem(api, method: str, path: str, status: int, code: str) -> None:
    answer = api.call(method, path)
    assert answer.status_code == status
    assert answer.mimetype == "application/problem+json"
    assert answer.json["status"] == status
    assert answer.json["code"] == code
    assert set(answer.json) >= {"type", "title", "status", "detail", "code", "errors"}


def test_a_bug_is_a_500_problem_without_details(api, monkeypatch) -> None:
    from app.reads import limits

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(limits, "list_limits", fail)
    answer = api.get("/limits")
    assert answer.status_code == 500
    assert answer.mimetype == "application/problem+json"
    assert b"hunter2" not in answer.data


def test_a_connection_that_postgresql_ended_costs_nobody_an_answer(api, monkeypatch) -> None:
    """As after its restart: each web process holds several of them."""
    monkeypatch.setattr("app.db.CHECKED_FOR_S", 0.0)
    api.services.pool.wait(10)
    ended = "SELECT count(pg_terminate_backend(pid)) AS n FROM pg_stat_activity WHERE application_name = 'mailtide-web'"
    assert api.value(ended) >= 2
    assert [api.get("/limits").status_code for _ in range(5)] == [200] * 5


def test_a_database_that_is_away_is_a_503_with_retry_after(api) -> None:
    api.services.pool.close()
    answer = api.get("/limits")
    assert answer.status_code == 503
    assert answer.json["code"] == "unavailable"
    assert int(answer.headers["Retry-After"]) > 0


@pytest.mark.parametrize(
    ("body", "media", "status"),
    [
        (b'{"limit": 5}', "text/plain", 415),
        (b"limit=5", "application/x-www-form-urlencoded", 415),
        (b'{"limit": 5', "application/json", 400),
        (b'{"limit": NaN}', "application/json", 400),
        (b'{"limit": "\\ud800"}', "application/json", 400),
        (b'{"limit": 1e400}', "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, "application/json", 400),
        (b"[]", "application/json", 422),
        (b"null", "application/json", 422),
        (b'{"limit": 123456789012345678901234567890}', "application/json", 422),
        (b'{"limit": true}', "application/json", 422),
        (b'{"limit": 5, "colour": "red"}', "application/json", 422),
        (b'{"limit": 5, "limit\\u0000": 1}', "application/json", 422),
        (b"x" * (1024 * 1024 + 1), "application/json", 413),
    ],
)
def test_a_hostile_body_is_refused(api, body: bytes, media: str, status: int) -> None:
    limit_id = api.get("/limits").json["data"][0]["id"]
    answer = api.patch(f"/limits/{limit_id}", data=body, content_type=media)
    assert answer.status_code == status, answer.data
    assert answer.mimetype == "application/problem+json"
    assert api.get("/limits").json["data"][0]["limit"] == 1000


def test_a_request_id_is_echoed_or_made(api) -> None:
    assert api.get("/limits", headers={"X-Request-Id": "abc-1"}).headers["X-Request-Id"] == "abc-1"
    made = api.get("/limits", headers={"X-Request-Id": "a b<script>"}).headers["X-Request-Id"]
    assert len(made) == 32


def test_security_headers_are_on_pages_and_on_data(api) -> None:
    for path in ("//", "//docs", "/limits", "/nothing"):
        headers = api.get(path).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert "unsafe-eval" not in headers["Content-Security-Policy"]
        script = headers["Content-Security-Policy"].partition("script-src")[2].partition(";")[0]
        assert "unsafe-inline" not in script
    assert api.get("/limits").headers["Cache-Control"] == "private, no-cache"


def test_a_polled_read_is_not_sent_twice(api) -> None:
    first = api.get("/limits")
    again = api.get("/limits", headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert "Content-Security-Policy" not in again.headers, "the stored answer keeps its own"
    assert api.get("/limits", headers={"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Authorization": ""}, {"Authorization": "Bearer mt_wrong"}, {"Authorization": "Basic YTpi"},
     {"Authorization": "Bearer " + "mt_" + "x" * 10_000}],
)  # fmt: skip
def test_a_wrong_key_is_401(api, headers: dict[str, str]) -> None:
    answer = api.get("/limits", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"


def test_an_expired_or_revoked_key_is_401_at_once(api) -> None:
    assert api.get("/limits").status_code == 200
    api.rows("UPDATE api_keys SET revoked_at = now() RETURNING 1")
    assert api.get("/limits").status_code == 401
    api.rows("UPDATE api_keys SET revoked_at = NULL, expires_at = now() - interval '1 second' RETURNING 1")
    assert api.get("/limits").status_code == 401


def test_a_keys_use_is_noted_at_most_once_a_minute(api) -> None:
    api.get("/limits")
    first = api.value("SELECT last_used_at FROM api_keys")
    assert first is not None
    api.get("/limits")
    assert api.value("SELECT last_used_at FROM api_keys") == first


def test_a_scope_that_is_missing_is_403(make_api) -> None:
    reader = make_api(scopes=("read",))
    limit_id = reader.get("/limits").json["data"][0]["id"]
    answer = reader.patch(f"/limits/{limit_id}", {"limit": 5})
    assert (answer.status_code, answer.json["code"]) == (403, "scope_missing")


@pytest.mark.parametrize(
    ("headers", "is_refused"),
    [
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Sec-Fetch-Site": "same-site"}, True),
        ({"Origin": "https://evil.test"}, True),
        ({"Origin": "null"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, False),
        ({"Origin": "http://localhost"}, False),
        ({}, False),
    ],
)
def test_row_41_another_sites_page_cannot_make_a_browser_write(app, headers: dict[str, str], is_refused: bool) -> None:
    answer = app.test_client().post("/api/v1/messages", json={}, headers=headers)
    assert (answer.status_code == 403) is is_refused
    assert answer.status_code in (401, 403)


def test_the_plain_page_links_to_the_documentation(api) -> None:
    answer = api.get("//")
    assert answer.status_code == 200
    assert b"Mailtide" in answer.data


def test_the_dashboards_own_paths_can_be_opened(api, monkeypatch, tmp_path) -> None:
    (tmp_path / "assets").mkdir()
    (tmp_path / "index.html").write_text("<!doctype html><title>dashboard</title>")
    (tmp_path / "assets" / "app-1a2b.js").write_text("1")
    monkeypatch.setattr("app.dashboard.DIST", tmp_path)
    page = api.get("//campaigns/cmp_1", headers={"Accept": "text/html"})
    assert (page.status_code, page.headers["Cache-Control"]) == (200, "no-cache")
    assert b"dashboard" in page.data
    asset = api.get("//assets/app-1a2b.js", headers={"Accept-Encoding": "gzip"})
    assert "immutable" in asset.headers["Cache-Control"]
    assert asset.headers["Content-Encoding"] == "gzip"
    for path in ("//assets/none.js", "//assets/../../conftest.py", "//api/v1/none", "//none.js", "//assets/%00"):
        assert api.get(path, headers={"Accept": "text/html"}).status_code == 404, path


def test_the_documentation_needs_nothing_from_elsewhere(api) -> None:
    page = api.get("//docs")
    assert page.status_code == 200
    text = page.get_data(as_text=True)
    assert "<script" not in text
    assert "http://" not in text
    assert "https://" not in text
    assert "/api/v1/messages/{message_id}/reschedule" in text
