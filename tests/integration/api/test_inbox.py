"""The sandbox's mailbox over HTTP."""

import pytest

RAW = (
    b"From: =?utf-8?q?J=C3=BCrgen?= <hello@example.test>\r\nTo: ada@example.test\r\nSubject: =?utf-8?b?8J+RiyBIaQ==?=\r\n"
    b'MIME-Version: 1.0\r\nContent-Type: multipart/alternative; boundary="b"\r\n\r\n'
    b"--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe\r\n"
    b"--b\r\nContent-Type: text/html; charset=utf-8\r\n\r\n<p>Hi</p>\r\n--b--\r\n"
)


def insert_mail(api, raw: bytes = RAW, *, to: str = "ada@example.test", subject: str = "Hi") -> str:
    number = api.value(
        """INSERT INTO inbox (account_id, mail_from, rcpt_to, subject, size_bytes, received_at, raw)
        VALUES (%(a)s, 'hello@example.test', %(to)s, %(s)s, %(n)s, now(), %(raw)s) RETURNING inbox_id""",
        a=api.account_id, to=to, s=subject, n=len(raw), raw=raw,
    )  # fmt: skip
    return api.id("inbox", number)


def test_a_mail_is_shown_as_a_recipients_program_reads_it(api) -> None:
    said = api.get(f"/inbox/{insert_mail(api)}").json
    assert said["subject"] == "👋 Hi"
    assert said["from"] == "Jürgen <hello@example.test>"
    assert said["text"].strip() == "Grüße"
    assert said["html"].strip() == "<p>Hi</p>"
    assert said["headers"][1] == {"name": "To", "value": "ada@example.test"}


def test_the_source_is_saved_and_never_rendered(api) -> None:
    answer = api.get(f"/inbox/{insert_mail(api)}/raw")
    assert answer.data == RAW
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in answer.headers["Content-Security-Policy"]


@pytest.mark.parametrize(
    "raw",
    [
        b"", b"\x00\xff\xfe", b"Subject: \xff\xfe\r\n\r\n\xff", b"no headers at all",
        b"Content-Type: text/html; charset=klingon\r\n\r\n<p>\xff</p>",
        b"Content-Type: multipart/mixed\r\n\r\n--", b"From: <<<>>>@@\r\nTo: \"\r\nDate: x\r\n\r\nx",
        b"Content-Transfer-Encoding: base64\r\nContent-Type: text/plain\r\n\r\n!!!!",
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n" + b"--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n" * 60,
    ],
    ids=range(9),
)  # fmt: skip
def test_a_mail_that_no_parser_likes_is_still_shown(api, raw: bytes) -> None:
    mail_id = insert_mail(api, raw)
    assert api.get(f"/inbox/{mail_id}").status_code == 200
    assert api.get(f"/inbox/{mail_id}/raw").data == raw


def test_mails_are_found_by_subject_and_recipient(api) -> None:
    first = insert_mail(api, to="ada@example.test", subject="Welcome")
    second = insert_mail(api, to="bob@example.test", subject="100% off")

    def find(query: str) -> list[str]:
        return [item["id"] for item in api.get(f"/inbox?{query}").json["data"]]

    assert find("") == [second, first]
    assert find("q=welc") == [first]
    assert find("q=%25") == [second]
    assert find("recipient=BOB@example.test") == [second]
    assert find("recipient=bob") == []


def test_another_accounts_mail_does_not_exist(api, make_api) -> None:
    other = make_api()
    mail_id = insert_mail(api)
    assert other.get("/inbox").json == {"data": [], "next_cursor": None}
    assert other.get(f"/inbox/{mail_id}").status_code == 404
    assert other.get(f"/inbox/{mail_id}/raw").status_code == 404
