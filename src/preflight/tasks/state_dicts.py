"""Which part of a checkpoint is the model's state, under which of the usual names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from preflight.core.errors import TaskError

State = Mapping[str, Any]
# Where training scripts and libraries put a model's state; the whole file comes first.
USUAL = ("", "state_dict", "model_state_dict", "model_state", "model", "network", "net", "module", "weights")
# In front of every name: DataParallel and DDP say module, Lightning and many scripts model.
HEADS = ("module", "model", "network", "net")
# Anywhere in a name: torch.compile, FSDP and activation checkpointing.
WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
DEPTH = 2


@dataclass(frozen=True)
class Choice:
    """A state whose names are those of the model, or come nearest, and what it was called in the file."""

    state: State
    place: str
    without: str

    @property
    def told(self) -> str:
        """``under 'model_state_dict', without the prefix 'module.'``; empty of a bare state."""
        parts = [f"under '{self.place}'"] if self.place else []
        return ", ".join([*parts, *([self.without] if self.without else [])])


def states_in(content: Any) -> dict[str, State]:
    """Every mapping of names to tensors in a file, by the dotted keys that lead to it."""
    found: dict[str, State] = {}
    level: dict[str, Any] = {"": content}
    for _ in range(DEPTH + 1):
        found |= {place: item for place, item in level.items() if _is_state(item)}
        deeper = [(place, item) for place, item in level.items() if isinstance(item, Mapping) and place not in found]
        level = {
            f"{place}.{key}" if place else str(key): inner
            for place, item in deeper
            for key, inner in item.items()
            if isinstance(key, str)
        }
    return found


def _is_state(item: Any) -> bool:
    return (
        isinstance(item, Mapping)
        and bool(item)
        and all(isinstance(name, str) for name in item)
        and all(isinstance(value, Tensor) or name.endswith("_extra_state") for name, value in item.items())
    )


def choose(states: Mapping[str, State], names: Collection[str]) -> Choice:
    """The state that has exactly ``names``; the nearest one where none has.

    A usual place goes first. Raises :class:`TaskError` where several others fit alike: nobody could tell which is
    meant.
    """
    wanted = set(names)
    places = sorted(states, key=lambda place: USUAL.index(place) if place in USUAL else len(USUAL))
    every = [choice for place in places for choice in _called(place, states[place], wanted)]
    fitting = [choice for choice in every if set(choice.state) == wanted]
    known = list(dict.fromkeys(choice.place for choice in fitting))
    if len(known) > 1 and known[0] not in USUAL:
        raise TaskError(f"it holds several states that fit, under {', '.join(known)}: save the one that is meant alone")
    if fitting:
        return fitting[0]
    return min(every, key=lambda choice: len(wanted.symmetric_difference(choice.state)))


def _called(place: str, state: State, wanted: Collection[str]) -> Iterator[Choice]:
    """The state as it is, without what wrappers put into its names, and with what they put into the model's."""
    yield Choice(state, place, "")
    bare = _renamed(state, _unwrapped)
    taken = [f"{name}." for name in WRAPPERS if any(f"{name}." in key for key in state)]
    if taken:
        yield Choice(bare, place, _without(taken))
    while (head := _head(bare)) in HEADS:
        bare = _renamed(bare, lambda name, head=head: name.removeprefix(f"{head}."))  # type: ignore[misc]
        taken.append(f"{head}.")
        yield Choice(bare, place, _without(taken))
    if (own := _head(wanted)) in (*HEADS, *WRAPPERS):
        yield Choice(_renamed(bare, lambda name: f"{own}.{name}"), place, f"with the prefix '{own}.'")


def _without(prefixes: list[str]) -> str:
    return f"without the prefix{'es' if len(prefixes) > 1 else ''} {', '.join(map(repr, prefixes))}"


def _head(names: Collection[str]) -> str:
    """The first part of every name, where all have the same one and more behind it."""
    heads = {name.partition(".")[0] if "." in name else "" for name in names}
    return next(iter(heads)) if len(heads) == 1 else ""


def _unwrapped(name: str) -> str:
    return ".".join(part for part in name.split(".") if part not in WRAPPERS)


def _renamed(state: State, rename: Callable[[str], str]) -> State:
    """The same tensors by other names; the versions of their modules, which torch keeps beside them, go along."""
    renamed: OrderedDict[str, Any] = OrderedDict((rename(name), value) for name, value in state.items())
    versions = getattr(state, "_metadata", None)
    if isinstance(versions, Mapping):
        moved = OrderedDict((rename(f"{module}.")[:-1], version) for module, version in versions.items())
        renamed._metadata = moved  # type: ignore[attr-defined]
    return renamed
