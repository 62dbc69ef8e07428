"""The server that worker processes are forked from: it imports torch once, beside what the driver does meanwhile."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing import forkserver, resource_tracker
from multiprocessing.context import ForkServerContext

WORKER_MODULE = "preflight.search.engines.worker"


def worker_context() -> ForkServerContext:
    """How workers are started: a plain fork of the driver would inherit its threads' locks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([WORKER_MODULE])
    return context


def start_early() -> None:
    """Start the server now, so that it is ready when the first worker is wanted.

    It inherits that SIGINT is blocked: it ignores Ctrl-C only when it has imported what it is to import.
    """
    worker_context()
    resource_tracker.ensure_running()  # which unblocks it, whatever was blocked before
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        forkserver.ensure_running()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
