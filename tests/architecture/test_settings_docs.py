"""The documents that are generated from the settings model are current."""

from app.settings import Settings
from app.settings_docs import ROOT, env_example, markdown_table


def test_env_example_is_current() -> None:
    assert (ROOT / ".env.example").read_text(encoding="utf-8") == env_example(), "run `make settings`"


def test_the_readme_lists_every_setting() -> None:
    assert markdown_table() in (ROOT / "README.md").read_text(encoding="utf-8"), "run `make settings`"


def test_every_setting_says_what_it_is_for() -> None:
    plain = {"db_port", "db_user", "db_pass", "db_name", "redis_port", "smtp_port", "smtp_user", "smtp_pass"}
    silent = {name for name, field in Settings.model_fields.items() if not field.description}
    assert silent - plain <= {"google_client_secret"}


def test_the_settings_of_the_replaced_application_are_still_accepted() -> None:
    names = "PORT DB_HOST DB_PORT DB_USER DB_PASS DB_NAME REDIS_HOST REDIS_PORT SMTP_HOST SMTP_PORT SMTP_USER SMTP_PASS WORKER_CONCURRENCY"
    assert {name.lower() for name in names.split()} <= set(Settings.model_fields)
