"""preflight: what to run before the long training run.

``preflight.tune`` is the command line's `preflight +model=...` from Python; ``preflight.InputNormalizer`` puts the
statistics of a corrected config in front of a model, ``preflight.TargetNormalizer`` those of a target behind it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

__version__ = "0.1.0"
__all__ = ["Answer", "InputNormalizer", "TargetNormalizer", "__version__", "tune"]

if TYPE_CHECKING:
    from preflight.api import Answer, tune
    from preflight.tasks.normalizer import InputNormalizer
    from preflight.tasks.target_normalizer import TargetNormalizer

_HOMES = {
    "tune": "preflight.api",
    "Answer": "preflight.api",
    "InputNormalizer": "preflight.tasks.normalizer",
    "TargetNormalizer": "preflight.tasks.target_normalizer",
}


def __getattr__(name: str) -> object:
    """Import on first use: `preflight --help` must not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'preflight' has no attribute '{name}'")
    import importlib  # noqa: PLC0415  # only where a name is asked for

    return getattr(importlib.import_module(_HOMES[name]), name)
