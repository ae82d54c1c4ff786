"""Run a command that ends when its parent does: `python -I -S app/child.py SIGNAL PARENT_PID command …`.

`make run` starts everything through this, so that not even `kill -9` of the supervisor leaves a process behind. The
kernel sends SIGNAL to the process when the thread that started it ends (prctl(2), PR_SET_PDEATHSIG); the setting
outlives exec. Imports the standard library only and costs about ten milliseconds.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def end_with_parent(number: signal.Signals, parent_pid: int) -> None:
    """Ask for signal `number` when our parent ends; end now if it already has."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit(1)


if __name__ == "__main__":
    end_with_parent(signal.Signals[sys.argv[1]], int(sys.argv[2]))
    os.execvp(sys.argv[3], sys.argv[3:])  # noqa: S606
