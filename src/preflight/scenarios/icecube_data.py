"""The events of case D in small: muon tracks in a hexagonal array of light sensors.

The detector is 86 vertical strings of 60 modules. A muon crosses it in a straight line and lights the modules
near its path one after the other; noise pulses are mixed in. Each pulse is (time, charge, sensor_id,
auxiliary), with the documented range and mean of each feature, in raw units.
"""

from __future__ import annotations

import math
from typing import Final, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

FEATURES: Final = ("time", "charge", "sensor_id", "auxiliary")

ROW_LENGTHS: Final = (6, 7, 8, 9, 10, 11, 10, 9, 8, 8)  # strings per row of the hexagon, 86 in all
MODULES_PER_STRING: Final = 60
STRING_SPACING_M: Final = 125.0
MODULE_SPACING_M: Final = 17.0
DETECTOR_RADIUS_M: Final = 550.0
IMPACT_M: Final = 100.0  # spread of a track's distance from the centre, per axis
LIGHT_REACH_M: Final = 40.0  # spread of the lit modules around the track, per axis

C_M_PER_NS: Final = 0.2998
C_ICE_M_PER_NS: Final = C_M_PER_NS / 1.33
SCATTER_NS: Final = 80.0  # mean delay of a photon scattered in the ice
TRIGGER_NS: Final = 11_800.0  # when a track passes the centre
TRIGGER_JITTER_NS: Final = 100.0

TIME_RANGE_NS: Final = (5_714.0, 77_785.0)  # the readout window
NOISE_TIME_SCALE_NS: Final = 10_000.0  # noise times fall off exponentially over the window
CHARGE_RANGE: Final = (0.025, 2_762.0)  # photo-electrons: the digitiser's step and its saturation
NOISE_SHARE: Final = 0.29
AUXILIARY_IF_NOISE: Final = 0.90  # the flag is set by a local-coincidence trigger, which errs both ways
AUXILIARY_IF_SIGNAL: Final = 0.025
LIGHT_YIELD: Final = 2.2  # photo-electrons beside the track
LIGHT_LENGTH_M: Final = 60.0  # over which it falls by a factor e
LOSS_SIGMA: Final = 1.0  # of the logarithm of a muon's losses
LOSS_POWER: Final = 1.4  # exponent of their tail
MIN_PULSES: Final = 16
DOWNWARD: Final = 0.2  # muons rarely come through the Earth: density of directions 1 - DOWNWARD * z


def load_data(
    events: int = 5000,
    validation_events: int = 1000,
    pulses: int = 24,
    seed: int = 0,
    nan_event: int | None = None,
    scaled: bool = False,
    units: float = 1.0,
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Simulate the training and the validation split; the global random state is neither read nor changed.

    Each split holds ``pulses[N, L, 4]`` (float32: time in ns, charge in photo-electrons, sensor_id, auxiliary
    0/1; in order of time, zeros after the last pulse of an event), ``valid[N, L]`` (bool) and
    ``direction[N, 3]`` (float32 unit vectors, more of them downward), with ``L = pulses``. The best constant
    direction, straight down, is ``pi / 2 - DOWNWARD * pi / 8 = 1.49`` rad off on average: where the documented
    loss came to rest.

    The charge of the first pulse of ``nan_event`` is NaN. ``scaled`` gives time and the logarithm of the charge in
    deviations from their mean. ``units`` multiplies both before that, as counting them in other units does.

    Raises ValueError if a split is empty or ``pulses`` is below ``MIN_PULSES``.
    """
    if min(events, validation_events) < 1:
        raise ValueError(f"events and validation_events must be >= 1, got {events} and {validation_events}")
    if pulses < MIN_PULSES:
        raise ValueError(f"pulses must be >= {MIN_PULSES}, got pulses={pulses}")
    if nan_event is not None and not 0 <= nan_event < events:
        raise ValueError(f"nan_event must be an event, 0 to {events - 1}, got nan_event={nan_event}")
    generators = np.random.default_rng(seed).spawn(2)
    train, validation = (
        _simulate(rng, count, pulses) for rng, count in zip(generators, (events, validation_events), strict=True)
    )
    for split in (train, validation):
        split["pulses"][..., : FEATURES.index("sensor_id")] *= units
    if scaled:
        _scale(train, validation)
    if nan_event is not None:
        train["pulses"][nan_event, 0, FEATURES.index("charge")] = float("nan")
    return train, validation


def _scale(train: dict[str, Tensor], validation: dict[str, Tensor]) -> None:
    """Time and the logarithm of the charge less their mean, over their deviation, by the training pulses."""
    for split in (train, validation):
        charge = split["pulses"][..., FEATURES.index("charge")]
        charge.copy_(torch.where(split["valid"], charge.clamp(min=torch.finfo(charge.dtype).tiny).log(), charge))
    for name in ("time", "charge"):
        column = FEATURES.index(name)
        known = train["pulses"][..., column][train["valid"]]
        for split in (train, validation):
            values = split["pulses"][..., column]
            values.copy_(torch.where(split["valid"], (values - known.mean()) / known.std(), values))


def sensor_positions() -> Floats:
    """Positions[5160, 3] in metres from the detector's centre, indexed by sensor_id.

    Numbered string by string, top to bottom, and the strings row by row along y.
    """
    strings = np.array(
        [
            (column - (length - 1) / 2, row * math.sqrt(3) / 2)
            for row, length in enumerate(ROW_LENGTHS)
            for column in range(length)
        ]
    )
    xy = STRING_SPACING_M * (strings - strings.mean(axis=0))
    z = MODULE_SPACING_M * ((MODULES_PER_STRING - 1) / 2 - np.arange(MODULES_PER_STRING))
    return np.column_stack([np.repeat(xy, MODULES_PER_STRING, axis=0), np.tile(z, len(xy))])


def _simulate(rng: np.random.Generator, events: int, pulses: int) -> dict[str, Tensor]:
    positions = sensor_positions()
    direction = _directions(rng, events)
    centre = _across(IMPACT_M * rng.normal(size=(events, 3)), direction)  # of the track
    noise = rng.random((events, pulses)) < NOISE_SHARE
    sensor = np.where(
        noise,
        rng.integers(len(positions), size=noise.shape),
        _lit_sensors(rng, centre, direction, pulses, positions),
    )
    offset = positions[sensor] - centre[:, None]
    distance_m = np.linalg.norm(_across(offset, direction[:, None]), axis=-1)
    along_m = (offset * direction[:, None]).sum(axis=-1)
    time = np.where(noise, _noise_times(rng, noise.shape), _signal_times(rng, along_m, distance_m))
    charge = np.where(noise, _noise_charges(rng, noise.shape), _signal_charges(rng, distance_m))
    auxiliary = rng.random(noise.shape) < np.where(noise, AUXILIARY_IF_NOISE, AUXILIARY_IF_SIGNAL)
    valid = np.arange(pulses) < rng.integers(MIN_PULSES, pulses, size=(events, 1), endpoint=True)
    return {
        "pulses": _pulse_tensor(np.stack([time, charge, sensor, auxiliary], axis=-1), valid),
        "valid": torch.from_numpy(valid),
        "direction": torch.from_numpy(direction.astype(np.float32)),
    }


def _directions(rng: np.random.Generator, events: int) -> Floats:
    """Unit vectors ``[N, 3]``: uniform around the vertical, ``z`` by the inverse of its distribution function."""
    azimuth = rng.uniform(0, 2 * math.pi, size=events)
    z = (1 - np.sqrt((1 - DOWNWARD) ** 2 + 4 * DOWNWARD * rng.random(events))) / DOWNWARD
    across = np.sqrt(1 - z**2)
    return np.column_stack([across * np.cos(azimuth), across * np.sin(azimuth), z])


def _pulse_tensor(features: Floats, valid: Bools) -> Tensor:
    """``features[N, L, 4]`` in order of time, with zeros where not ``valid[N, L]``, as float32."""
    order = np.argsort(np.where(valid, features[..., 0], np.inf), axis=1)
    ordered = np.take_along_axis(features, order[..., None], axis=1)
    return torch.from_numpy((ordered * valid[..., None]).astype(np.float32))


def _lit_sensors(rng: np.random.Generator, centre: Floats, direction: Floats, pulses: int, positions: Floats) -> Ints:
    """The sensors nearest to ``pulses`` light sources around each track: ``[N, L]``."""
    half_chord = np.sqrt(np.maximum(DETECTOR_RADIUS_M**2 - (centre**2).sum(axis=-1), 100.0**2))
    along = half_chord[:, None] * rng.uniform(-1, 1, size=(len(centre), pulses))
    source = centre[:, None] + along[..., None] * direction[:, None]
    source += LIGHT_REACH_M * rng.normal(size=source.shape)
    string_xy = positions[::MODULES_PER_STRING, :2]
    squared = (string_xy**2).sum(axis=-1) - 2 * source[..., :2] @ string_xy.T  # less |source|^2: same argmin
    depth = np.rint((positions[0, 2] - source[..., 2]) / MODULE_SPACING_M).astype(np.int64)
    module = depth.clip(0, MODULES_PER_STRING - 1)
    return cast(Ints, squared.argmin(axis=-1) * MODULES_PER_STRING + module)


def _signal_times(rng: np.random.Generator, along_m: Floats, distance_m: Floats) -> Floats:
    trigger = TRIGGER_NS + TRIGGER_JITTER_NS * rng.normal(size=(len(along_m), 1))
    scatter = rng.exponential(SCATTER_NS, size=along_m.shape)
    return (trigger + along_m / C_M_PER_NS + distance_m / C_ICE_M_PER_NS + scatter).clip(*TIME_RANGE_NS)


def _noise_times(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """An exponential fall-off over the readout window, by the inverse of its distribution function."""
    start, end = TIME_RANGE_NS
    inside = -math.expm1(-(end - start) / NOISE_TIME_SCALE_NS)
    return start - NOISE_TIME_SCALE_NS * np.log1p(-inside * rng.random(shape))


def _signal_charges(rng: np.random.Generator, distance_m: Floats) -> Floats:
    """Light falls with the distance; the energy that a muon loses at one point has a power-law tail."""
    nearness = np.exp(-distance_m / LIGHT_LENGTH_M)
    spread = rng.lognormal(0.0, LOSS_SIGMA, size=distance_m.shape)
    burst = 1 + rng.pareto(LOSS_POWER, size=distance_m.shape)
    return _digitised(LIGHT_YIELD * nearness * spread * burst)


def _noise_charges(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    return _digitised(rng.lognormal(-0.4, 0.7, size=shape))


def _digitised(charge: Floats) -> Floats:
    step, saturation = CHARGE_RANGE
    return (np.rint(charge / step) * step).clip(step, saturation)


def _unit(vectors: Floats) -> Floats:
    return cast(Floats, vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def _across(vectors: Floats, direction: Floats) -> Floats:
    """The part of ``vectors[..., 3]`` perpendicular to the unit vectors ``direction[..., 3]``."""
    return cast(Floats, vectors - (vectors * direction).sum(axis=-1, keepdims=True) * direction)
