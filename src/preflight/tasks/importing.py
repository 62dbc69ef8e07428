"""Names in a configuration -> objects, from places that may be trusted and from nowhere else."""

from __future__ import annotations

import importlib.util
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from types import BuiltinFunctionType, MappingProxyType, ModuleType
from typing import Any

from hydra.utils import get_object, instantiate

from preflight.core.errors import ConfigError, TaskError
from preflight.core.model_settings import Spec
from preflight.core.settings import Trust
from preflight.tasks.misspelling import close_names, why_not

# Not all of torch: torch.hub.load and torch.load run code that somebody else wrote. Not all of preflight: it writes
# files, and imports what it is told to.
ALLOWED = (
    "preflight.scenarios.",
    "preflight.tasks.metrics.",
    "preflight.tasks.normalizer.",
    "torch.nn.",
    "torch.optim.",
    "torch.utils.data.",
)
# Writes files.
REFUSED = ("torch.utils.data.datapipes",)
# Where torch's own functions come from that are written in C++.
NATIVE = ("torch._C", "torch._VF", "torch._jit_internal")
INSTALLED = ("site-packages", "dist-packages")
STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()


def add_user_folders(trust: Trust) -> None:
    """Make modules in the user's own folders importable."""
    for folder in trust.folders:
        if str(folder) not in sys.path:
            sys.path.insert(0, str(folder))


def make(
    spec: Spec, key: str, trust: Trust, arguments: Mapping[str, Any] = MappingProxyType({}), *, partial: bool = False
) -> Any:
    """Call what ``spec`` names with ``arguments``; raises TaskError with the user's own error inside.

    ``partial`` binds a mapping's arguments and calls nothing yet, whatever the mapping itself says of ``_partial_``.
    """
    try:
        if isinstance(spec, Mapping):
            _check_targets(spec, key, trust)
            # Lists and mappings reach the user's code as lists and dicts, not as OmegaConf's containers.
            return instantiate({"_convert_": "all", **spec, "_partial_": partial}, **arguments)
        found = find(spec, key, trust)
        return found(**arguments) if callable(found) else found
    except Exception as error:
        if isinstance(error, ConfigError | TaskError):
            raise
        cause = error.__cause__ or error
        raise TaskError(f"{key}: {_described(spec)} failed: {type(cause).__name__}: {_short(cause)}") from error


def find(spec: Spec, key: str, trust: Trust) -> Any:
    """The object that ``spec`` names: a dotted name's, a ``_target_``'s instance, or from Python the object itself."""
    if isinstance(spec, Mapping):
        return make(spec, key, trust, partial=bool(spec.get("_partial_", False)))
    if not isinstance(spec, str):
        return spec
    return _located(spec, key, trust)


def check_target(target: str, key: str, trust: Trust) -> None:
    """Refuse what is no dotted name, and one that is outside the allowed prefixes and the user's own folders."""
    if not all(part.isidentifier() for part in target.split(".")):
        raise TaskError(f"{key}={target!r} is no dotted name of a function or class, such as my_module.build_model")
    if _is_trusted(target, trust):
        return
    top = target.split(".", maxsplit=1)[0]
    exists = _origin(top) is not None
    if not exists:
        places = ", ".join(str(folder) for folder in trust.folders) or "none"
        raise TaskError(
            f"{key}={target} does not import: there is no module '{top}'; looked in {places} and installed"
            + close_names(top, _own_modules(trust))
        )
    raise TaskError(
        f"{key}={target} is outside the allowed prefixes ({', '.join((*ALLOWED, *_added(trust)))}) "
        "and the user's own folders; "
        f"if you trust it, add --allow {top}"
    )


def _is_trusted(target: str, trust: Trust) -> bool:
    if any(part.startswith("__") for part in target.split(".")):
        return False
    if target.startswith(REFUSED):
        return False
    return target.startswith((*ALLOWED, *_added(trust))) or _is_users_own(target.split(".", maxsplit=1)[0], trust)


def _added(trust: Trust) -> tuple[str, ...]:
    return tuple(f"{prefix}." for prefix in trust.allow)


def _located(target: str, key: str, trust: Trust) -> Any:
    """The object named ``target``, which must not lie in a module that a trusted one has merely imported."""
    check_target(target, key, trust)
    try:
        found = get_object(target)
    except Exception as error:
        raise TaskError(f"{key}={target} does not import: {why_not(target) or _short(error)}") from error
    if target.startswith(_added(trust)):
        return found
    names = target.split(".")
    way: Any = sys.modules.get(names[0])
    for index, name in enumerate(names[1:], start=2):
        way = getattr(way, name)
        if not isinstance(way, ModuleType):
            if not _is_at_home(way, names, index, trust):
                raise TaskError(f"{key}={target} reaches {_home(way)}, which is outside the allowed prefixes")
            break
        if way.__name__ != ".".join(names[:index]) and not _is_trusted(f"{way.__name__}.", trust):
            rest = ".".join([way.__name__, *names[index:]])
            raise TaskError(f"{key}={target} reaches {rest}, which is outside the allowed prefixes")
    return found


def _is_at_home(found: Any, names: list[str], index: int, trust: Trust) -> bool:
    """Whether an object was made where it may be used from, and not merely imported there.

    A user's own module may hand on what it imported, but not the methods of it.
    """
    is_last = index == len(names)
    if _is_users_own(names[0], trust) and is_last:
        return True
    home = getattr(found, "__module__", None)
    if not isinstance(home, str):
        return is_last
    native = home.startswith(NATIVE) or (isinstance(found, BuiltinFunctionType) and home == "torch")
    return native or _is_trusted(f"{home}.", trust)


def _home(found: Any) -> str:
    return f"{getattr(found, '__module__', '?')}.{getattr(found, '__qualname__', type(found).__name__)}"


def _check_targets(spec: object, key: str, trust: Trust) -> None:
    if isinstance(spec, Mapping):
        if "_target_" in spec:
            _located(str(spec["_target_"]), f"{key}._target_", trust)
        for name, value in spec.items():
            _check_targets(value, f"{key}.{name}", trust)
    elif isinstance(spec, list | tuple):
        for index, item in enumerate(spec):
            _check_targets(item, f"{key}[{index}]", trust)


def _is_users_own(top: str, trust: Trust) -> bool:
    origin = _origin(top)
    if origin is None or origin.is_relative_to(STANDARD_LIBRARY) or any(part in INSTALLED for part in origin.parts):
        return False
    return any(origin.is_relative_to(folder) for folder in trust.folders)


def _origin(top: str) -> Path | None:
    """Where a top-level module lies, without importing it."""
    if not top.isidentifier():
        return None
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations))).resolve()
    # Of os, sys and the like the origin is no file but the word "frozen" or "built-in".
    return Path(spec.origin).resolve() if spec.has_location and spec.origin else STANDARD_LIBRARY / top


def _own_modules(trust: Trust) -> list[str]:
    """Names of modules and packages in the user's own folders."""
    entries = [entry for folder in trust.folders if folder.is_dir() for entry in folder.iterdir()]
    return [entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").is_file()]


def _described(spec: Spec) -> str:
    return str(spec.get("_target_", dict(spec))) if isinstance(spec, Mapping) else str(spec)


def _short(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return "; ".join(lines[:3]) or type(error).__name__
