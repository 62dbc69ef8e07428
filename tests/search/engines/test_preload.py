from __future__ import annotations

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
