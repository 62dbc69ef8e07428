from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from preflight.search.engines import preload


def test_the_server_has_the_workers_module_imported_before_it_is_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(preload.forkserver, "ensure_running", lambda: calls.append("running"))
    monkeypatch.setattr(preload.ForkServerContext, "set_forkserver_preload", lambda self, names: calls.append(names))
    preload.start_early()
    assert calls == [["preflight.search.engines.worker"], "running"]
    assert preload.worker_context().get_start_method() == "forkserver"


PROGRAM = """
import multiprocessing.forkserver as fork, os, signal, time
from preflight.search.engines.preload import start_early, worker_context

signal.signal(signal.SIGINT, signal.SIG_DFL)
start_early()
server = fork._forkserver._forkserver_pid
for _ in range(20):  # while it imports what it is to import
    os.kill(server, signal.SIGINT)
    time.sleep(0.02)
process = worker_context().Process(target=os._exit, args=(7,))
process.start()
process.join()
assert process.exitcode == 7, process.exitcode
assert fork._forkserver._forkserver_pid == server, "it was started again"
assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
"""


def test_ctrl_c_while_the_server_starts_is_none_of_its_business() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
