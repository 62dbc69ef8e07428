"""The server that worker processes are forked from: it imports torch once, beside what the driver does meanwhile."""

from __future__ import annotations

import multiprocessing
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext

WORKER_MODULE = "preflight.search.engines.worker"


def worker_context() -> ForkServerContext:
    """How workers are started: a plain fork of the driver would inherit its threads' locks."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([WORKER_MODULE])
    return context


def start_early() -> None:
    """Start the server now, so that it is ready when the first worker is wanted."""
    worker_context()
    forkserver.ensure_running()
