"""What granian imports: `granian --interface wsgi app.wsgi:app`."""

import sys

from app.cores import keep_to_a_core
from app.serving import calm_collector
from app.settings import ConfigError, load_settings
from app.web import create_app

try:
    _settings = load_settings()
    _settings.require_secret()
    keep_to_a_core(_settings.web_concurrency)  # before there are threads, which inherit it
    app = create_app(_settings)
    calm_collector()
except ConfigError as error:
    sys.stderr.write(f"mailtide: {error}\n")
    raise SystemExit(1) from None
