"""From an uploaded CSV file to contacts: what is accepted, what is refused, and that nothing is left of a refusal."""

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from werkzeug.test import TestResponse

from worker import importing

Api = Any  # the fixture of tests/integration/conftest.py
ROOT = Path(__file__).parent.parent.parent.parent
PEOPLE = b"E-Mail;Vorname;Ort\r\nada@example.test;Ada;Berlin\r\nben@example.test;Ben;\r\n"


def upload(api: Api, data: bytes, *, path: str = "/imports?filename=people.csv", **options: Any) -> TestResponse:
    return api.post(path, data=data, content_type="text/csv", **options)


def run(api: Api, data: bytes, *, mapping: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    """Upload, start with the suggested mapping, import, and return what the API then says."""
    made = upload(api, data)
    assert made.status_code == 201, made.json
    started = api.post(
        f"/imports/{made.json['id']}/start", {"mapping": mapping or made.json["suggested_mapping"], **fields}
    )
    assert started.status_code == 202, started.json
    importing.run_import(api.services.settings.postgres_url, import_id=api.number("import", made.json["id"]), epoch=1)
    done: dict[str, Any] = api.get(f"/imports/{made.json['id']}").json
    assert done["status"] == "done"
    assert done["rows_total"] == done["rows_read"]
    return done


def contacts(api: Api) -> dict[str, dict[str, str]]:
    rows = api.rows("SELECT email, attributes FROM contacts WHERE account_id = %(id)s", id=api.account_id)
    return {row["email"]: row["attributes"] for row in rows}


def test_an_upload_answers_what_is_in_the_file(api: Api) -> None:
    made = upload(api, PEOPLE)
    assert made.status_code == 201
    assert made.json["status"] == "awaiting_mapping"
    assert made.json["filename"] == "people.csv"
    assert made.json["delimiter"] == ";"
    assert made.json["columns"] == ["E-Mail", "Vorname", "Ort"]
    assert made.json["sample_rows"][0] == ["ada@example.test", "Ada", "Berlin"]
    assert made.json["suggested_mapping"] == {"email": "E-Mail", "first_name": "Vorname", "city": "Ort"}
    assert made.json["rows_total"] == 2


def test_a_multipart_file_is_the_same_file(api: Api) -> None:
    made = api.post("/imports", data={"file": (io.BytesIO(PEOPLE), "../../my people.csv")})
    assert made.status_code == 201
    assert made.json["filename"] == "my people.csv"
    assert made.json["columns"] == ["E-Mail", "Vorname", "Ort"]


def test_a_multipart_file_larger_than_a_piece_comes_through_whole(api: Api) -> None:
    data = PEOPLE + b"".join(b"p%d@x.test;P;\n" % number for number in range(150_000))
    made = api.post("/imports", data={"note": "before the file", "file": (io.BytesIO(data), "large.csv")})
    assert made.status_code == 201, made.json
    assert (made.json["size_bytes"], made.json["rows_total"]) == (len(data), 150_002)
    assert api.value("SELECT sum(length(data)) FROM import_chunks") == len(data)


def test_the_rows_become_contacts_of_a_list(api: Api) -> None:
    list_id = api.post("/lists", {"name": "News"}).json["id"]
    done = run(api, PEOPLE, list_id=list_id)
    assert (done["contacts_created"], done["contacts_updated"], done["rows_rejected"]) == (2, 0, 0)
    assert contacts(api) == {
        "ada@example.test": {"first_name": "Ada", "city": "Berlin"},
        "ben@example.test": {"first_name": "Ben"},
    }
    assert api.get(f"/lists/{list_id}").json["contact_count"] == 2
    assert api.value("SELECT count(*) FROM import_contacts") == 2
    assert api.value("SELECT count(*) FROM import_chunks") == 0


def test_starting_defers_one_job_with_the_rows(api: Api) -> None:
    made = upload(api, PEOPLE)
    api.post(f"/imports/{made.json['id']}/start", {"mapping": made.json["suggested_mapping"]})
    job = api.row("SELECT task_name, queue_name, args FROM procrastinate_jobs")
    assert job["task_name"] == "import_contacts"
    assert job["args"] == {"id": api.number("import", made.json["id"]), "epoch": 1}
    again = api.post(f"/imports/{made.json['id']}/start", {"mapping": made.json["suggested_mapping"]})
    assert (again.status_code, again.json["code"]) == (409, "wrong_state")


def test_update_merges_and_skip_leaves(api: Api) -> None:
    api.post("/contacts", {"email": "ADA@example.test", "attributes": {"first_name": "A.", "plan": "pro"}})
    skipped = run(api, PEOPLE, on_conflict="skip")
    assert (skipped["contacts_created"], skipped["contacts_updated"], skipped["rows_unchanged"]) == (1, 0, 1)
    assert contacts(api)["ADA@example.test"] == {"first_name": "A.", "plan": "pro"}
    updated = run(api, PEOPLE, on_conflict="update")
    assert (updated["contacts_created"], updated["contacts_updated"], updated["rows_unchanged"]) == (0, 2, 0)
    assert contacts(api)["ADA@example.test"] == {"first_name": "Ada", "plan": "pro", "city": "Berlin"}
    assert api.value("SELECT count(*) FROM import_contacts") == 4  # whoever the file names is its audience


def test_an_address_given_twice_is_one_contact_and_the_last_row_wins(api: Api) -> None:
    done = run(api, b"email,first_name,city\na@x.test,One,Rome\nb@x.test,B,\nA@X.TEST,Two,\n")
    assert (done["contacts_created"], done["rows_duplicate"]) == (2, 1)
    assert contacts(api)["A@x.test"] == {"first_name": "Two", "city": "Rome"}


@pytest.mark.parametrize("value", ["C:\\new\\table", "\\N", "\\.", "a\tb\nc", 'say ""hi""', "\\"])
def test_a_value_comes_through_as_written_however_its_row_is_brought(api: Api, value: str) -> None:
    row = f'"{value}"'
    expected = value.replace('""', '"')
    run(api, f"email,note,other\na@x.test,{row},\n".encode())
    assert contacts(api)["a@x.test"] == {"note": expected}
    # An address that is known and one that is new, each in two rows.
    run(api, f"email,note,other\na@x.test,{row},\nb@x.test,{row},\na@x.test,,{row}\nb@x.test,,{row}\n".encode())
    both = {"note": expected, "other": expected}
    assert contacts(api) == {"a@x.test": both, "b@x.test": both}


def test_a_bad_row_is_rejected_by_its_first_line_and_the_rest_goes_in(api: Api) -> None:
    data = b'email,note\r\n"a@x.test","two\r\nlines"\r\nnot an address,x\r\n\r\nb@x.test\r\n"c@x.test","y",=cmd\r\n,z\r\nd@x.test,ok\r\n'
    done = run(api, data)
    assert done["rows_read"] == 6
    assert done["contacts_created"] == 2
    assert done["rows_rejected"] == 4
    assert contacts(api)["a@x.test"]["note"] == "two\r\nlines"
    answer = api.get(f"/imports/{done['id']}/rejects.csv")
    assert answer.mimetype == "text/csv"
    assert "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert rows[0] == ["line", "reason", "row"]
    assert [row[0] for row in rows[1:]] == ["4", "6", "7", "8"]
    assert "has 1 value" in rows[2][1]


def test_a_file_without_header_line_gets_column_names(api: Api) -> None:
    made = upload(api, b"ada@x.test,Ada\nben@x.test,Ben\n")
    assert made.json["columns"] == ["Column 1", "Column 2"]
    done = run(api, b"ada@x.test,Ada\nben@x.test,Ben\n", mapping={"email": "Column 1", "first_name": "Column 2"})
    assert done["contacts_created"] == 2


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        ("email,name\nå@x.test,Åsa\n".encode("utf-8-sig"), "utf-8"),
        ("email,name\na@x.test,Åsa\n".encode("utf-16"), "utf-16"),
        (b"\xfe\xff" + "email,name\na@x.test,Åsa\n".encode("utf-16-be"), "utf-16"),
        ("email,name\na@x.test,Åsa\n".encode("cp1252"), "cp1252"),
        (b"email,name\ra@x.test,\xc3\x85sa\r", "utf-8"),
    ],
    ids=["utf-8 with mark", "utf-16", "utf-16 big end first", "windows-1252", "old mac line ends"],
)
def test_encodings_are_recognised(api: Api, data: bytes, encoding: str) -> None:
    done = run(api, data)
    assert done["encoding"] == encoding
    assert bool(done["notes"]) == (encoding == "cp1252")
    assert [attributes["name"] for attributes in contacts(api).values()] == ["Åsa"]


def test_one_broken_byte_in_a_utf8_file_costs_its_row_only(api: Api) -> None:
    done = run(api, "email,name\na@x.test,Åsa\n".encode() + b"b@x.test,\xff\nc@x.test,C\n")
    assert (done["contacts_created"], done["rows_rejected"]) == (2, 1)


def test_a_quote_that_is_never_closed_costs_what_it_swallows_only(api: Api) -> None:
    rows = b"".join(b"p%d@x.test,n\n" % number for number in range(20_000))
    done = run(api, b'email,name\na@x.test,A\nbad@x.test,"open\n' + rows)
    assert done["contacts_created"] > 5_000
    assert done["rows_rejected"] == 1
    assert api.row("SELECT line FROM import_rejects")["line"] == 3


REFUSED = {
    "empty": (b"", "empty_file"),
    "blank": (b"\n\n  \n", "empty_file"),
    "gzip": (b"\x1f\x8b\x08\x00" + bytes(40), "not_csv"),
    "zip": (b"PK\x03\x04" + bytes(40), "not_csv"),
    "nul": (b"email,name\na@x.test,A\0\n", "nul_bytes"),
    "utf-16 without mark": ("email,name\na@x.test,A\n".encode("utf-16-le"), "nul_bytes"),
    "no addresses": (b"name,city\nAda,Berlin\n", "no_address_column"),
    "header only": (b"email,name\n", "no_address_column"),
    "prose": (b"Dear all,\nnothing here.\n", "no_address_column"),
    "too many columns": (b",".join([b"email"] * 65) + b"\n" + b",".join([b"a@x.test"] * 65), "too_many_columns"),
    "a line over 1 MiB": (b"email,name\na@x.test," + b"x" * 1_100_000, "line_too_long"),
    "a late line over 1 MiB": (b"email,name\n" + b"a@x.test,A\n" * 150_000 + b"y" * 1_100_000, "line_too_long"),
}


@pytest.mark.parametrize(("data", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_row_34_what_cannot_be_imported_is_refused_with_a_reason_and_nothing_is_stored(
    api: Api, data: bytes, code: str
) -> None:
    answer = upload(api, data)
    assert answer.status_code == 422, answer.data[:300]
    assert answer.mimetype == "application/problem+json"
    assert answer.json["code"] == code
    assert len(answer.json["detail"]) > 20
    assert api.value("SELECT count(*) FROM imports") == 0
    assert api.value("SELECT count(*) FROM import_chunks") == 0


def test_multipart_without_a_file_is_refused(api: Api) -> None:
    answer = api.post("/imports", data={"other": (io.BytesIO(PEOPLE), "x.csv")})
    assert (answer.status_code, answer.json["code"]) == (422, "no_file")
    cut = api.post("/imports", data=b"--b\r\nno", content_type="multipart/form-data; boundary=b")
    assert cut.status_code == 422


def test_a_body_that_says_it_is_over_a_gibibyte_is_refused_unread(api: Api) -> None:
    answer = upload(api, b"email\n", environ_overrides={"CONTENT_LENGTH": str(1024**3 + 1)})
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("mapping", "pointer"),
    [
        ({"first_name": "Vorname"}, "/mapping/email"),
        ({"email": "Mail"}, "/mapping/email"),
        ({"email": "E-Mail", "first name": "Vorname"}, "/mapping/first name"),
        ({"email": "E-Mail", "x/y": "Vorname"}, "/mapping/x~1y"),
        ({"email": "E-Mail", "city": "Nowhere"}, "/mapping/city"),
    ],
)
def test_a_mapping_that_does_not_fit_is_refused_with_pointers(api: Api, mapping: dict[str, str], pointer: str) -> None:
    made = upload(api, PEOPLE)
    answer = api.post(f"/imports/{made.json['id']}/start", {"mapping": mapping})
    assert answer.status_code == 422
    assert pointer in [fault["pointer"] for fault in answer.json["errors"]]
    assert api.get(f"/imports/{made.json['id']}").json["status"] == "awaiting_mapping"
    assert api.value("SELECT count(*) FROM procrastinate_jobs") == 0


def test_a_repeated_upload_with_an_idempotency_key_is_one_import(api: Api) -> None:
    key = {"Idempotency-Key": "upload-1"}
    first, second = upload(api, PEOPLE, headers=key), upload(api, PEOPLE, headers=key)
    assert second.json["id"] == first.json["id"]
    assert second.headers["Idempotent-Replayed"] == "true"
    other = upload(api, PEOPLE + b"c@x.test;C;\n", headers=key)
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    assert api.value("SELECT count(*) FROM imports") == 1


def test_another_accounts_import_is_not_there(api: Api, make_api: Callable[..., Api]) -> None:
    made, other = upload(api, PEOPLE), make_api()
    path = f"/imports/{made.json['id']}"
    assert other.get(path).status_code == 404
    assert other.get(f"{path}/rejects.csv").status_code == 404
    assert other.delete(path).status_code == 404
    assert other.post(f"{path}/start", {"mapping": {"email": "E-Mail"}}).status_code == 404
    foreign_list = other.post("/lists", {"name": "Theirs"}).json["id"]
    answer = api.post(f"{path}/start", {"mapping": {"email": "E-Mail"}, "list_id": foreign_list})
    assert answer.status_code == 404
    assert other.get("/imports").json["data"] == []


def test_an_import_never_lifts_a_suppression(api: Api) -> None:
    api.post("/suppressions", {"email": "ada@example.test"})
    run(api, PEOPLE)
    assert [row["email"] for row in api.get("/suppressions").json["data"]] == ["ada@example.test"]
    found = api.get("/contacts?q=ada@example.test").json["data"]
    assert [row["suppressed"] for row in found] == ["manual"]


def test_deleting_an_import_keeps_its_contacts(api: Api) -> None:
    done = run(api, PEOPLE)
    assert api.delete(f"/imports/{done['id']}").status_code == 204
    assert api.get(f"/imports/{done['id']}").status_code == 404
    assert len(contacts(api)) == 2
    assert api.value("SELECT count(*) FROM import_contacts") == 0


def test_a_running_import_is_polled_cheaply(api: Api) -> None:
    made = upload(api, PEOPLE)
    first = api.get(f"/imports/{made.json['id']}")
    again = api.get(f"/imports/{made.json['id']}", headers={"If-None-Match": first.headers["ETag"]})
    assert again.status_code == 304


# --- large files, killed processes


def many_people(rows: int, *, first: int = 0) -> bytes:
    lines = (b"p%d@x.test,N%d\n" % (number, number) for number in range(first, first + rows))
    return b"email,first_name\n" + b"".join(lines)


def test_known_and_new_addresses_in_one_large_file_are_counted_exactly(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "SLICE_ROWS", 500)
    run(api, many_people(3000))
    list_id = api.post("/lists", {"name": "All"}).json["id"]
    done = run(api, many_people(5000, first=1500) + b"p2000@x.test,Again\np6000@x.test,Again\n", list_id=list_id)
    assert (done["contacts_created"], done["contacts_updated"], done["rows_duplicate"]) == (3500, 1500, 2)
    assert api.value("SELECT count(*) FROM contacts") == 6500
    assert api.get(f"/lists/{list_id}").json["contact_count"] == 5000
    assert contacts(api)["p2000@x.test"] == {"first_name": "Again"}


def test_an_import_that_is_killed_again_and_again_ends_with_exact_counts(api: Api) -> None:
    """Each round ends the process after one more committed slice, with another slice begun."""
    rows = importing.SLICE_ROWS * 3 + 17
    made = upload(api, many_people(rows) + b"broken\np5@x.test,Last\n")
    api.post(f"/imports/{made.json['id']}/start", {"mapping": made.json["suggested_mapping"]})
    import_id = api.number("import", made.json["id"])
    for round_ in range(1, 4):
        killed = subprocess.run(
            [sys.executable, "-c", KILLED_IN_SLICE, api.services.settings.postgres_url, str(import_id)],
            cwd=ROOT, check=False, capture_output=True,
        )  # fmt: skip
        assert killed.returncode == -9, killed.stderr.decode()
        assert api.value("SELECT rows_read FROM imports") == importing.SLICE_ROWS * round_
    importing.run_import(api.services.settings.postgres_url, import_id=import_id, epoch=1)
    done = api.get(f"/imports/{made.json['id']}").json
    assert done["status"] == "done"
    assert done["rows_read"] == rows + 2
    assert (done["contacts_created"], done["contacts_updated"]) == (rows, 0)
    assert (done["rows_duplicate"], done["rows_rejected"]) == (1, 1)
    assert api.value("SELECT count(*) FROM contacts") == rows
    assert api.value("SELECT line FROM import_rejects") == rows + 2


#: Commits one slice, does all of the next but its commit, and dies.
KILLED_IN_SLICE = """
import os, signal, sys
from worker import importing
advance, done = importing.SliceWriter._advance, []
def die_in_the_second(self, *given):
    advance(self, *given)
    done.append(1)
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
importing.SliceWriter._advance = die_in_the_second
importing.run_import(sys.argv[1], import_id=int(sys.argv[2]), epoch=1)
"""


def test_two_processes_on_one_import_count_each_row_once(api: Api) -> None:
    rows = importing.SLICE_ROWS * 4
    made = upload(api, many_people(rows))
    api.post(f"/imports/{made.json['id']}/start", {"mapping": made.json["suggested_mapping"]})
    import_id = api.number("import", made.json["id"])
    code = "import sys; from worker.importing import run_import; run_import(sys.argv[1], import_id=int(sys.argv[2]), epoch=1)"
    command = [sys.executable, "-c", code, api.services.settings.postgres_url, str(import_id)]
    processes = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [process.wait(timeout=60) for process in processes] == [0, 0]
    done = api.get(f"/imports/{made.json['id']}").json
    assert (done["status"], done["rows_read"], done["contacts_created"]) == ("done", rows, rows)
    assert api.value("SELECT count(*) FROM import_contacts") == rows


def test_an_old_epoch_does_nothing(api: Api) -> None:
    made = upload(api, PEOPLE)
    api.post(f"/imports/{made.json['id']}/start", {"mapping": made.json["suggested_mapping"]})
    importing.run_import(api.services.settings.postgres_url, import_id=api.number("import", made.json["id"]), epoch=0)
    assert api.get(f"/imports/{made.json['id']}").json["status"] == "importing"
