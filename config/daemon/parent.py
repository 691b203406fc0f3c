"""Ending together with the parent process."""

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def end_with(parent: int) -> None:
    """Have the kernel send us SIGTERM when *parent* is gone, even by SIGKILL (prctl(2)).

    Orphans would keep the addresses that the next start needs.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it ended before prctl()
        os.kill(os.getpid(), signal.SIGTERM)
