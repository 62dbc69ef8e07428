"""A checkpoint: the weights that every network of a task starts from."""

from __future__ import annotations

import hashlib
import pickle
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.serialization import get_unsafe_globals_in_checkpoint

from preflight.core.errors import TaskError
from preflight.tasks.state_dicts import State, choose, states_in

SHOWN = 3
SAVE = "save the weights alone: torch.save(model.state_dict(), path)"


@dataclass
class Checkpoint:
    """States by their place in a file, read once; ``taken`` says which one was loaded, and by which names.

    Of a file that holds more, such as the state of an optimizer, nothing else is used.
    """

    path: Path
    sha256: str
    states: Mapping[str, State] = field(repr=False)
    taken: str | None = None

    @classmethod
    def open(cls, path: Path) -> Checkpoint:
        """Read a file that ``torch.save`` wrote, and run no code of it.

        Raises :class:`TaskError` saying what is there in place of a model's state.
        """
        try:
            with path.open("rb") as file:
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise TaskError(f"model.checkpoint={path} cannot be read: {error.strerror or error}") from error
        content = _loaded(path)
        states = states_in(content)
        if not states:
            raise TaskError(f"model.checkpoint={path} holds no state of a model but {_described(content)}; {SAVE}")
        return cls(path, sha256, states)

    def check_same(self, sha256: str) -> None:
        """Raise :class:`TaskError` where the file is not the one that a run began with."""
        if self.sha256 != sha256:
            raise TaskError(
                f"model.checkpoint={self.path} has changed since the run began with it: its SHA-256 was "
                f"{sha256[:12]}... and is {self.sha256[:12]}...; put the old one back, or run preflight again, with a "
                "copy that no training overwrites"
            )

    def as_dict(self) -> dict[str, str]:
        """As inspection.json holds it."""
        return {"path": str(self.path), "sha256": self.sha256, "taken": self.taken or ""}

    def load_into(self, model: nn.Module, settings: Mapping[str, Any]) -> None:
        """Give ``model``, which the factory built with ``settings``, the weights of the file: all of them.

        Raises :class:`TaskError` naming what does not fit.
        """
        try:
            choice = choose(self.states, model.state_dict().keys())
        except TaskError as error:
            raise TaskError(f"model.checkpoint={self.path}: {error}") from error
        try:
            model.load_state_dict(choice.state)
        except (RuntimeError, AttributeError, KeyError, TypeError, ValueError) as error:  # its own hooks may raise any
            given = ", ".join(f"{name}={value}" for name, value in settings.items())
            built = f" with {given}" if given else ""
            misfit = "; ".join(_misfits(choice.state, model)) or " ".join(str(error).split())
            place = f" ({choice.told})" if choice.told else ""
            raise TaskError(
                f"model.checkpoint={self.path}{place} does not fit the model that model.factory builds{built}: {misfit}"
            ) from error
        if self.taken is None:
            self._check_finite(choice.state, {name for name, _ in model.named_parameters()})
            self.taken = choice.told

    def _check_finite(self, state: State, parameters: set[str]) -> None:
        """Weights that are not finite were saved after the training broke; a buffer may hold infinities on purpose."""
        for name, item in state.items():
            if not isinstance(item, Tensor) or not item.is_floating_point():
                continue
            bad = item.isnan() if name not in parameters else ~item.isfinite()
            if bool(bad.any()):
                raise TaskError(
                    f"model.checkpoint={self.path} was saved after its training broke: {int(bad.sum())} of "
                    f"{item.numel()} values of '{name}' are not finite; take an earlier one"
                )


def _loaded(path: Path) -> Any:
    try:
        with warnings.catch_warnings(action="ignore"):  # of TorchScript, which is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch raises whatever it stumbles over in a file that is none of its own
        raise TaskError(f"model.checkpoint={path} {_unreadable(path, error)}") from error


def _unreadable(path: Path, error: Exception) -> str:
    """Why a file cannot be loaded, what it holds, and what to save in its place."""
    if path.suffix == ".safetensors":
        return "is a safetensors file: torch.save(safetensors.torch.load_file(path), 'model.pt') makes one of torch's"
    if "TorchScript" in str(error):
        return f"holds a TorchScript program, which is code; {SAVE}"
    try:
        classes = get_unsafe_globals_in_checkpoint(str(path))
    except Exception:  # no zip file, or none that is whole
        classes = []
    if classes:
        own = sorted(classes, key=lambda name: (name.startswith(("torch.", "builtins.")), name))
        return (
            f"holds more than tensors: {_few(own)}; it is loaded with weights_only=True, which runs no code of a file. "
            f"{SAVE[0].upper()}{SAVE[1:]}"
        )
    if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):  # the format before torch 1.6
        return f"holds objects, and not tensors alone; {SAVE}"
    return f"is no file that torch.save wrote, or not all of it; {SAVE}"


def _described(content: Any) -> str:
    if isinstance(content, Mapping):
        return f"a mapping of {_few([str(key) for key in content])}" if content else "an empty mapping"
    if isinstance(content, Tensor):
        return f"a tensor of shape {list(content.shape)}"
    return f"a {type(content).__name__}"


def _misfits(state: State, model: nn.Module) -> Iterator[str]:
    """What keeps a state from fitting, in words."""
    own = model.state_dict()
    missing = [name for name in own if name not in state]
    unexpected = [name for name in state if name not in own]
    if missing:
        yield f"it lacks {len(missing)} of the model's {len(own)} tensors ({_few(missing)})"
    if unexpected:
        yield f"it has {len(unexpected)} that the model has not ({_few(unexpected)})"
    apart = [
        f"'{name}' is {list(state[name].shape)} in the checkpoint and {list(item.shape)} in the model"
        for name, item in own.items()
        if name in state and _has_shape(item) and _has_shape(state[name]) and state[name].shape != item.shape
    ]
    if apart:
        more = f", and {len(apart) - SHOWN} more differ" if len(apart) > SHOWN else ""
        yield ", ".join(apart[:SHOWN]) + more


def _has_shape(item: Any) -> bool:
    return isinstance(item, Tensor) and not is_lazy(item)


def _few(names: Sequence[str]) -> str:
    return ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])
