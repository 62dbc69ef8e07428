"""Why a function cannot be called with the arguments that a configuration gives it, by its signature."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from preflight.core.errors import alternatives

# Of hydra's `instantiate`, not of the function.
RESERVED_KEYS = ("_target_", "_partial_", "_convert_", "_recursive_", "_args_")


def misfit(function: Callable[..., Any], arguments: Mapping[str, Any], positional: int = 1) -> str:
    """``takes no 'tmax'; did you mean 'T_max'?`` or ``needs max_lr, and is given nothing``; empty where neither holds.

    ``arguments`` are those of a configuration, by name; ``positional`` more are given before them. Empty as well where
    the function does not tell its parameters.
    """
    if isinstance(function, partial):
        return misfit(function.func, {**function.keywords, **arguments}, positional + len(function.args))
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return ""
    positional += len(arguments.get("_args_") or ())
    given = [name for name in arguments if name not in RESERVED_KEYS]
    ordered = [item for item in parameters if item.kind in (item.POSITIONAL_ONLY, item.POSITIONAL_OR_KEYWORD)]
    named = [item for item in parameters if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)]
    known = {item.name: item for item in named if item not in ordered[:positional]}
    takes_any = any(item.kind is item.VAR_KEYWORD for item in parameters)
    for name in given:
        if name not in known and not takes_any:
            return f"takes no '{name}'; {alternatives(name, known)}"
    missing = [name for name, item in known.items() if item.default is item.empty and name not in given]
    return f"needs {', '.join(missing)}, and is given {', '.join(given) or 'nothing'}" if missing else ""


def name_of(function: Any) -> str:
    """How a function that was given as an object is called in a message."""
    inner = function.func if isinstance(function, partial) else function
    return str(getattr(inner, "__qualname__", type(inner).__name__))
