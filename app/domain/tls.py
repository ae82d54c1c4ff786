"""TLS towards a relay, the same for the worker that delivers and for the web that tries a relay."""

import ssl
from functools import cache


@cache
def client_context(*, verify: bool) -> ssl.SSLContext:
    """The context of a client. Made once: reading the system's certificates takes many milliseconds.

    verify  the certificate must be valid and name the host. SSL_CERT_FILE adds an authority.
    """
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
