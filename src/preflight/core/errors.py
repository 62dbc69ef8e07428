"""The exceptions a user can meet, and the exit code each one ends the command with.

PreflightError                   1  something preflight did not foresee
├── InputError                   2  what was given cannot be used: a key, a value, a file, a module
│   ├── ConfigError              2  the configuration of this run
│   ├── TaskError                2  the user's model, data, losses or metric
│   │   └── RefusedError         2  a fault that a rule names, and no training can start with
│   ├── ConfigFileError          2  the file to correct: unreadable, or a mapping that does not fit it
│   └── MissingError             2  a recording lacks a file, a column or a fact; rules answer "not applicable"
├── NothingTrainedError          3  no trial at all ended with a score
├── NotReproducedError           4  `preflight verify` got another score than the run recorded
└── Interrupted                130  Ctrl-C: finished trials and a partial report stay
"""

from __future__ import annotations

from collections.abc import Iterable

from preflight.core.spelling import closest


class PreflightError(Exception):
    """Root of every error that is reported without a traceback, on one line, whatever it quotes of the user's files."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(" ".join(line.strip() for line in message.splitlines()))


class InputError(PreflightError):
    """Something given to preflight cannot be used."""

    exit_code = 2


class ConfigError(InputError):
    """A key, group or value of the configuration is wrong."""


class TaskError(InputError):
    """The user's model, data, losses or metric cannot be trained as given."""


class RefusedError(TaskError):
    """The task cannot be trained as given; ``code`` is the rule that says why, how it is seen and how it is mended."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(f"{message} ({code}, see `preflight rules {code}`)")
        self.code = code


class ConfigFileError(InputError):
    """The file to correct cannot be read, or a mapping does not fit it."""


class MissingError(InputError):
    """A recording lacks what is asked for; the text says what."""


class NothingTrainedError(PreflightError):
    """Not a single trial ended with a score."""

    exit_code = 3


class NotReproducedError(PreflightError):
    """A written config did not give the score that was recorded for it."""

    exit_code = 4


class Interrupted(PreflightError):  # noqa: N818  # the user meant it
    """The user stopped the run."""

    exit_code = 130


def alternatives(name: str, known: Iterable[str]) -> str:
    """Phrase for an error text: the nearest known name, and all of them."""
    names = sorted(known)
    close = closest(name, names)
    hint = "" if close is None else f"did you mean '{close}'? "
    return f"{hint}known: {', '.join(names) if names else '(none)'}"
