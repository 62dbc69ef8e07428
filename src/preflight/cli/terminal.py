"""What a run says on the terminal: a progress bar where there is one, plain lines elsewhere."""

from __future__ import annotations

import sys
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


def make_console() -> Console:
    """Standard output: where it is no terminal, lines of any length without colours, whatever the environment says."""
    if sys.stdout.isatty():
        return Console(highlight=False, emoji=False)
    return Console(highlight=False, emoji=False, force_terminal=False, no_color=True, soft_wrap=True)


class Terminal:
    """See :class:`preflight.pipeline.audience.Audience`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._stage = ""
        self._count = 0
        self._best: float | None = None
        self._started = 0.0

    def say(self, text: str) -> None:
        """A sentence that stays."""
        self._console.print(text, markup=False, soft_wrap=True)

    def begin(self, stage: str, total: int) -> None:
        """Show a bar for the stage."""
        self._stage, self._count, self._best, self._started = stage, 0, None, time.monotonic()
        if not self._console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description:<34}", markup=False),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
        )
        self._task = self._bar.add_task(stage, total=total, best="")
        self._bar.start()

    def advance(self, best: float | None = None) -> None:
        """One more training run."""
        self._count += 1
        self._best = best
        if self._bar is not None and self._task is not None:
            text = "" if best is None else f"best score {best:.3g}"
            self._bar.update(self._task, advance=1, best=text)

    def end(self) -> None:
        """Replace the bar by a line; nothing where no stage is open."""
        stage, self._stage = self._stage, ""  # first: Ctrl-C in here has the end of the run call this again
        if not stage:
            return
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if not self._count:  # all of it was known from a stage before
            return
        best = "" if self._best is None else f", best score {self._best:.3g}"
        seconds = time.monotonic() - self._started
        runs = "1 run" if self._count == 1 else f"{self._count} runs"
        self.say(f"{stage}: {runs} in {seconds:.0f} s{best}")
