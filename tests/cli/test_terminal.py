from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from preflight.cli.terminal import Terminal, make_console


class Screen(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def flight(terminal: Terminal) -> None:
    terminal.begin("explore", 3)
    terminal.advance(0.51234)
    terminal.advance(0.25)
    terminal.end()
    terminal.say("a sentence with [brackets] and a number 42")


Printed = Callable[[], str]


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Printed:
    """What was printed to a standard output that is no terminal."""
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):  # some services set these for everything they run
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("COLUMNS", "40")
    return lambda: capsys.readouterr().out


def test_a_file_gets_plain_lines(plain: Printed) -> None:
    console = make_console()
    assert not console.is_terminal
    flight(Terminal(console))
    assert plain() == ("explore: 2 runs in 0 s, best score 0.25\na sentence with [brackets] and a number 42\n")


def test_a_file_gets_no_escapes_even_from_what_is_styled(plain: Printed) -> None:
    console = make_console()
    console.print("bold", style="bold")
    console.print("[red]colour[/red]")
    assert plain() == "bold\ncolour\n"


def test_a_long_path_stays_in_one_line(plain: Printed, tmp_path: Path) -> None:
    text = f"report: {tmp_path / ('a very long name ' * 20)}"
    console = make_console()
    Terminal(console).say(text)
    console.print(text, markup=False)
    assert plain() == f"{text}\n" * 2


def test_a_name_between_colons_is_no_picture(plain: Printed) -> None:
    make_console().print("runs:cat:1", markup=False)
    assert plain() == "runs:cat:1\n"


def test_a_stage_without_a_best_score_says_none(plain: Printed) -> None:
    terminal = Terminal(make_console())
    terminal.begin("confirm", 1)
    terminal.advance()
    terminal.end()
    assert plain() == "confirm: 1 run in 0 s\n"


def test_ending_without_a_stage_says_nothing(plain: Printed) -> None:
    terminal = Terminal(make_console())
    terminal.end()
    terminal.begin("confirm", 1)
    terminal.advance()
    terminal.end()
    terminal.end()
    assert plain().count("confirm") == 1


def test_a_stage_that_ran_nothing_says_nothing(plain: Printed) -> None:
    terminal = Terminal(make_console())
    terminal.begin("remedies", 15)
    terminal.end()
    assert plain() == ""


def test_the_best_of_one_stage_is_not_carried_into_the_next(plain: Printed) -> None:
    terminal = Terminal(make_console())
    flight(terminal)
    terminal.begin("confirm", 1)
    terminal.advance()
    terminal.end()
    assert plain().splitlines()[-1] == "confirm: 1 run in 0 s"


def test_a_terminal_gets_a_bar_with_count_best_and_time_left() -> None:
    screen = Screen()
    console = Console(file=screen, force_terminal=True, width=100, highlight=False, color_system=None)
    terminal = Terminal(console)
    terminal.begin("explore", 3)
    terminal.advance(0.51234)
    assert terminal._bar is not None
    terminal._bar.refresh()
    terminal.end()
    shown = screen.getvalue()
    assert "explore" in shown
    assert "1/3" in shown
    assert "best score 0.512" in shown
    assert "-:--:--" in shown or "0:00" in shown
    assert shown.rstrip().endswith("explore: 1 run in 0 s, best score 0.512")
