"""A real Postfix of our own that accepts everything and throws it away. Needs Debian's package `postfix`, and root."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from app.embedded import ending_with_us, free_port
from tests.bench.figures import rounded
from tests.bench.options import Line, wait_for
from tests.bench.stack import answers

_POSTFIX = shutil.which("postfix", path="/usr/sbin:/usr/local/sbin:/usr/bin")

_IN_MEMORY = "/dev/shm"
_ROOM_BYTES = 512 * 1024 * 1024  # queue and log; a container's /dev/shm often has 64 MB
_SIZE_BYTES = 6_300  # of a message with 3 kB of HTML, as `ONLY=content` says

# Everything that would slow one client of many down on purpose is off. So is what it does for its own machine's programs alone:
# it would complete addresses in headers, since all here are on one machine; from anywhere else it takes them as they are.
# And it does not look for recipients among users of its own, of which a relay has none. Its processes stay: with 100 uses each, as is
# usual, it would start one anew for each fifty messages, on the cores that are measured here.
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
mynetworks = 127.0.0.0/8
alias_maps =
local_recipient_maps =
default_transport = discard:
smtpd_peername_lookup = no
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_reject_unlisted_recipient = no
local_header_rewrite_clients =
in_flow_delay = 0
max_use = 1000000
default_process_limit = 100
"""
_MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""

# Its master leaves whoever started it. So a shell stays, which is told of our end, and stops it then.
_RUN = """
trap '"$0" -c "$1" stop 2>/dev/null' TERM
"$0" -c "$1" start-fg &
wait
wait
"""


def is_available() -> bool:
    return _POSTFIX is not None and os.geteuid() == 0


def queue_place() -> str | None:
    """Where its queue lies: POSTFIX_DIR, else in memory where there is room, for a relay's disk is not what is measured."""
    asked = os.environ.get("POSTFIX_DIR")
    if asked:
        return asked
    has_room = Path(_IN_MEMORY).is_dir() and shutil.disk_usage(_IN_MEMORY).free >= _ROOM_BYTES
    return _IN_MEMORY if has_room else os.environ.get("BENCH_DIR")


def version() -> str | None:
    if _POSTFIX is None:
        return None
    said = subprocess.run(
        [str(Path(_POSTFIX).with_name("postconf")), "-d", "-h", "mail_version"],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    return said.stdout.strip() or None


@contextmanager
def running_postfix() -> Iterator[int]:
    """Its port. It ends with us, however we end."""
    assert _POSTFIX is not None
    with tempfile.TemporaryDirectory(prefix="mailtide-bench-postfix-", dir=queue_place()) as name:
        folder, port = Path(name), free_port()
        _write(folder, port)
        process = subprocess.Popen(
            ending_with_us(["/bin/sh", "-c", _RUN, _POSTFIX, str(folder / "conf")], signal.SIGTERM),
            stdin=subprocess.DEVNULL, stdout=sys.stderr, stderr=sys.stderr,
        )  # fmt: skip
        try:
            wait_for(lambda: answers(port), "Postfix listens", 30, every_s=0.05)
            yield port
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def measure_ceiling(port: int, count: int, connections: int) -> Line:
    """What Postfix takes from a client in C that hardly costs anything, with no round trip and nothing else to do here.

    -N  another recipient for each message, as in a campaign: of one that repeats Postfix's caches know all.
    """
    assert _POSTFIX is not None
    began = time.perf_counter()
    subprocess.run(
        [
            str(Path(_POSTFIX).with_name("smtp-source")), "-d", "-N", "-s", str(connections), "-m", str(count), "-l", str(_SIZE_BYTES),
            "-f", "bounce@example.test", "-t", "to@people.test", f"127.0.0.1:{port}",
        ],
        stdin=subprocess.DEVNULL, stdout=sys.stderr, timeout=600, check=True,
    )  # fmt: skip
    seconds = time.perf_counter() - began
    return {
        "who": "smtp-source", "n": count, "connections": connections, "per_s": rounded(count / seconds),
        "seconds": round(seconds, 2), "queue_place": queue_place(),
    }  # fmt: skip


def _write(folder: Path, port: int) -> None:
    folder.chmod(0o755)
    for name in ("queue", "data", "conf"):
        (folder / name).mkdir()
    os.chown(folder / "data", pwd.getpwnam("postfix").pw_uid, -1)
    (folder / "conf" / "main.cf").write_text(_MAIN_CF.format(folder=folder), encoding="utf-8")
    (folder / "conf" / "master.cf").write_text(_MASTER_CF.format(port=port), encoding="utf-8")
