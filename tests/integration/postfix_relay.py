"""A Postfix of its own for a test: throws away what it accepts, and refuses and defers some recipients by its own rules."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from app.embedded import free_port
from tests.integration.smtp.scripted import make_certificate

_PATH = "/usr/sbin:/usr/local/sbin:/usr/bin"
POSTFIX, SINK = shutil.which("postfix", path=_PATH), shutil.which("smtp-sink", path=_PATH)
needs_postfix = pytest.mark.skipif(
    POSTFIX is None or os.geteuid() != 0, reason="needs Debian's package postfix, and root to start it"
)
needs_sink = pytest.mark.skipif(SINK is None, reason="needs smtp-sink, from Debian's package postfix")

SIZE_LIMIT = 300_000

_MAIN_CF = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file_prefixes = {folder}
maillog_file = {folder}/mail.log
myhostname = relay.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks =
alias_maps =
local_recipient_maps =
virtual_mailbox_domains = accept.test
virtual_mailbox_maps = regexp:{folder}/users
virtual_transport = discard:
message_size_limit = {size_limit}
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_hard_error_limit = 100
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = check_sender_access inline:{{ {{blocked@us.test=REJECT}} }},
    check_recipient_access inline:{{ {{grey@accept.test=450 4.7.1 Greylisted, see you later}},
    {{full@accept.test=452 4.2.2 Mailbox full}} }}
header_checks = regexp:{folder}/header_checks
smtpd_tls_security_level = may
smtpd_tls_cert_file = {folder}/certificate.pem
smtpd_tls_key_file = {folder}/key.pem
smtpd_tls_loglevel = 0
"""
_MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def wait_for_port(port: int) -> None:
    deadline = time.monotonic() + 15
    while True:
        try:
            with closing(socket.create_connection(("127.0.0.1", port), 1)):
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def _write_postfix(folder: Path, port: int) -> None:
    folder.chmod(0o755)
    for name in ("queue", "data", "conf"):
        (folder / name).mkdir()
    os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
    make_certificate(folder)
    (folder / "users").write_text("/^(ada|bob|grey|full)@accept\\.test$/ x\n")
    (folder / "header_checks").write_text("/^Subject: viagra/ REJECT 5.7.1 spam is not wanted here\n")
    (folder / "conf" / "main.cf").write_text(_MAIN_CF.format(folder=folder, size_limit=SIZE_LIMIT))
    (folder / "conf" / "master.cf").write_text(_MASTER_CF.format(port=port))


@contextmanager
def running_postfix() -> Iterator[tuple[int, Path]]:
    """On a free port: its port and folder."""
    assert POSTFIX is not None
    with tempfile.TemporaryDirectory(prefix="postfix-") as name:
        folder, port = Path(name), free_port()
        _write_postfix(folder, port)
        command = [POSTFIX, "-c", str(folder / "conf")]
        started = subprocess.run([*command, "start"], capture_output=True, text=True, timeout=60, check=False)
        assert started.returncode == 0, started.stderr
        try:
            wait_for_port(port)
            yield port, folder
        finally:
            subprocess.run([*command, "stop"], capture_output=True, timeout=60, check=False)
