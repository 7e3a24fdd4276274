"""Executes a command that dies with the process that started it.

A file of its own, run without site-packages:

    python -I -S leash.py PARENT COMMAND [ARGUMENT …]

PARENT is the pid of the starter. Not a `preexec_fn`: that runs Python between fork and exec, which may hang where the
starter has threads, and the command line's live display is one.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # The starter may have died before the line above.
    if os.getppid() != parent:
        sys.exit("the supervisor is gone")
    os.execvp(command[0], command)  # noqa: S606 — no shell is the point
