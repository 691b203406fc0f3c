"""``python -I -m dovecot_auth --config FILE``: run authd."""

import asyncio
import ctypes
import logging
import os
from pathlib import Path
from typing import NoReturn

import uvloop

from config.daemon.start import begin
from config.settings import Settings
from dovecot_auth.server import Server
from store.readiness import log_trouble

_PR_SET_DUMPABLE = 4  # <linux/prctl.h>


def main() -> NoReturn:
    """Run until SIGTERM; exit 0."""
    # This memory holds passwords: no core file, and no other process of this user may read it.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    path, settings = begin("authd", __doc__)
    log_trouble(settings.store.url)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(path, settings))
        # Exit before the loop closes: its handler absorbs a second SIGTERM, and the interpreter
        # would wait for a thread that the store holds up. Nothing is left to do.
        logging.shutdown()
        os._exit(0)


async def _serve(path: Path, settings: Settings) -> None:
    await Server(path, settings).run()


if __name__ == "__main__":
    main()
