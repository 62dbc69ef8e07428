from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest

from preflight.cli import main as main_module
from preflight.cli.main import main
from preflight.cli.stopping import SIGNALS, stoppable
from preflight.core.errors import ConfigError, Interrupted


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_stops_and_gives_the_exit_code(number: signal.Signals, code: int) -> None:
    with stoppable() as stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)
        assert stop.exit_code == code


def test_later_signals_do_not_disturb_the_end_and_do_not_change_the_exit_code(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with stoppable() as stop:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        for _ in range(5):
            signal.raise_signal(signal.SIGTERM)
        assert capfd.readouterr().err == ""
        signal.raise_signal(signal.SIGINT)
        assert stop.exit_code == 143


def test_the_second_ctrl_c_is_answered_and_the_third_leaves(capfd: pytest.CaptureFixture[str]) -> None:
    with stoppable():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        assert "stopping already" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_a_signal_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with stoppable():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    with stoppable():
        assert [signal.getsignal(number) for number in SIGNALS] != before
    assert [signal.getsignal(number) for number in SIGNALS] == before


class Dropped:
    """Calls something when it is dropped, where Python prints an exception and goes on without it."""

    def __init__(self, act: Callable[[], object]) -> None:
        self._act = act

    def __del__(self) -> None:
        self._act()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_python_loses_in_a_finalizer_stops_a_moment_later_and_in_silence(
    number: signal.Signals, code: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with stoppable() as stop:
        with pytest.raises(KeyboardInterrupt):
            Dropped(lambda: signal.raise_signal(number))
            time.sleep(60)
        assert stop.exit_code == code
        signal.raise_signal(signal.SIGTERM)  # what follows is not taken for one that was lost
    assert capfd.readouterr().err == ""


def test_other_errors_in_finalizers_are_told_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: told.append(lost.exc_type))
    before = sys.unraisablehook
    with stoppable():
        Dropped(lambda: 1 // 0)
        assert told == [ZeroDivisionError]
    assert sys.unraisablehook is before


def test_a_thread_that_may_set_no_handlers_goes_without() -> None:
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(main(["--nonsense"])))
    thread.start()
    thread.join()
    assert codes == [2]


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (None, 143, "preflight: stopped\n"),
        (Interrupted("stopped; 3 finished trials"), 143, "preflight: stopped; 3 finished trials\n"),
        (ConfigError("lr must be positive"), 2, "preflight: lr must be positive\n"),
    ],
)
def test_a_command_that_was_stopped_says_so(
    error: Exception | None,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def command(_: list[str]) -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            if error is not None:
                raise error from None
            raise
        return 0

    monkeypatch.setattr(main_module, "_command", lambda _: command)
    assert main(["+model=digits"]) == code
    assert capsys.readouterr().err == text
