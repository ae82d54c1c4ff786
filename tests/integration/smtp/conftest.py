"""What the tests of both SMTP clients share."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.domain.tls import client_context
from tests.integration.smtp.scripted import make_certificate


@pytest.fixture
def server_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ssl.SSLContext]:
    """A server's TLS context; its certificate is trusted through SSL_CERT_FILE."""
    context, certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client_context.cache_clear()
    yield context
    client_context.cache_clear()
