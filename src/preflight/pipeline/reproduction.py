"""Whether scores that were measured again are those that were recorded."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from preflight import __version__
from preflight.advise.evidence import MIN_GAIN, effect
from preflight.core.errors import NotReproducedError

UNCHANGED = "device and versions are those of the run, so the file, the data or the code has changed since"


def machine(device: torch.device) -> dict[str, str]:
    """What the last digits of a score depend on, besides the settings and the seed."""
    return {
        "preflight": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": device.type,
        "processor": _processor(device),
    }


def _processor(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"


def differences(then: Mapping[str, Any], now: Mapping[str, str]) -> list[str]:
    """How the machine that a run.json tells of was another one, in words; what it does not tell is no difference."""
    before = {name: str(then.get(name, value)) for name, value in now.items()}
    before["device"] = before["device"].partition(":")[0]
    return [f"{name} is {now[name]} and was {value}" for name, value in before.items() if value != now[name]]


def judge(recorded: Mapping[int, float], measured: Mapping[int, float], different: Sequence[str]) -> str:
    """What to say of two scores per seed.

    Where nothing is ``different`` from the run every score must be the very same, and else the same within the seeds'
    noise. Raises :class:`NotReproducedError` where it is not.
    """
    wrong = [seed for seed, score in recorded.items() if measured[seed] != score]
    if not wrong:
        return "reproduced exactly: the same score on every seed"
    change = effect(recorded, measured)
    is_noise = abs(change.gain) < MIN_GAIN or change.low < 0 < change.high
    if different and is_noise:
        return f"reproduced within the seeds' noise ({change}), not to the last digit: {'; '.join(different)}"
    seed = wrong[0]
    raise NotReproducedError(
        f"the written config does not give the recorded score: over {change.seeds} seeds it is "
        f"{abs(change.gain):.0%} {'lower (better)' if change.gain > 0 else 'higher (worse)'}, "
        f"with seed {seed} {measured[seed]:.9g} in place of {recorded[seed]:.9g}; "
        f"{'; '.join(different) or UNCHANGED}"
    )
