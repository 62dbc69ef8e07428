"""How the values of every field are distributed: as they are stored, as the model gets them, in either split."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from preflight.core.errors import TaskError
from preflight.core.model_settings import FieldSettings
from preflight.core.params import Params
from preflight.probes.amounts import amounts
from preflight.probes.axes import settled
from preflight.probes.codes import Code, code_of
from preflight.probes.entering import entering
from preflight.probes.fields import (
    MAX_NAMED_FEATURES,
    FieldReport,
    inspect_field,
)
from preflight.probes.flaws import COVERED, TRAINING, VALIDATION, Expected, Flaw, by_field, find_flaws
from preflight.probes.harm import check_flaws
from preflight.probes.layout import layout_of
from preflight.probes.moments import distribution, extremes, half, moments, rms, tail
from preflight.probes.outliers import Range
from preflight.probes.overlap import look_at_overlap
from preflight.probes.shift import feature_shift, label_shift
from preflight.tasks.data import Batch, InMemory, spread, take_samples
from preflight.tasks.normalizer import InputNormalizer
from preflight.tasks.pytorch import PyTorchTask
from preflight.tasks.seeding import seeded

Array = npt.NDArray[np.float64]
# Values of a field, and of a feature, that are looked at, so that time and memory stay small.
MAX_VALUES, MAX_FEATURE_VALUES = 2**22, 2**18
MIN_SAMPLES = 32
ANYTHING = Range(0.0, math.inf, math.inf)
Samples = tuple[Tensor, Batch]


def look_at_fields(task: PyTorchTask, params: Params, seed: int) -> dict[str, Any]:
    """Distributions of every field under today's ``params``, and what the splits share.

    ``fields.NAME`` (``target NAME`` for a target that is an input, too) holds ``name, role, shape, dtype, samples,
    width`` (features), ``pooled`` (whether the many features of a wide field are reported as one), ``options, option``
    (today's normalization), ``constants`` (how many features never change), ``length`` (root mean square of a feature
    vector as it is fed), ``flaws`` (values that are not finite: ``{split, what, feature, values, samples, batch,
    harm}``, harm being what they do to a batch, if anything) and ``features``: ``name, kind, values`` (kind by the
    values alone, whatever the dtype), ``minimum, maximum, mean, std, quantiles, deviation`` (mean distance from the
    median), ``skew, zeros`` (share), ``distinct, samples, validation, shift, shift_noise`` (see
    :mod:`preflight.probes.shift`), ``normalized, nonfinite, nonfinite_samples`` and ``fed``: what the configured
    normalizer makes of it, ``{mean, std, rms, peak, tail, half}``, half being the deviations that the narrowest half of
    the values spans. Targets that are classes (:func:`preflight.probes.amounts.amounts`) have ``classes, unseen``;
    ``enters`` says of every target whether a loss or the metric uses it (:mod:`preflight.probes.entering`).
    A feature among whose amounts a number stands for something else (:mod:`preflight.probes.codes`) has ``code``:
    ``{value, share, low, high, apart, rms}``: the range of the others, and as they are fed their deviations up to it
    and the root mean square of all. Padding counts nowhere, and outliers and codes in no mean. ``overlap``:
    :func:`look_at_overlap`.
    """
    with seeded(seed, task.device):
        train = take_samples(task.data.train, most=task.extent.samples)
        validation = take_samples(task.data.validation)
        fields: dict[str, Any] = {}
        known = settled(task.settings.fields, train[1], task.data.roles.inputs)
        measured, used = amounts(task, params, seed), entering(task, params, seed)
        for role, names in (("input", task.data.roles.inputs), ("target", task.data.roles.targets)):
            for name in names:
                if train[1][name].numel() and validation[1][name].numel():
                    settings = _settings(known, role, name)
                    is_class = role == "target" and name not in measured
                    look = _Look(task, params, role, name, settings, is_class, (train[1], validation[1]))
                    found = look.facts() | ({"enters": name in used} if role == "target" else {})
                    fields[name if name not in fields else f"{role} {name}"] = found
        overlap = look_at_overlap(
            task.data.train, task.data.validation, (train[1], validation[1]), task.data.roles.inputs
        )
    _add_flaws(task, params, seed, fields, (train, validation), known)
    return {"fields": fields, "overlap": overlap}


class _Look:
    """One look at a field."""

    def __init__(
        self,
        task: PyTorchTask,
        params: Params,
        role: str,
        name: str,
        settings: FieldSettings,
        is_class: bool,
        splits: tuple[Batch, Batch],
    ) -> None:
        self.task, self.role, self.name = task, role, name
        self.settings, self.is_class = settings, is_class
        by_name = params.normalization if role == "input" else params.target_normalization
        self.option = by_name.get(name)
        self.train, self.validation = self._few(splits[0]), self._few(splits[1])
        self.layout = layout_of(name, self.train, self.settings)
        self.width = len(self.layout.features)
        self.is_pooled = self.width > MAX_NAMED_FEATURES

    def _few(self, batch: Batch) -> Batch:
        """So many of the samples that their values are not too many, of this field and its mask."""
        size = len(batch[self.name])
        rows = spread(size, max(MIN_SAMPLES, MAX_VALUES // max(1, batch[self.name][0].numel())))
        return {
            name: tensor[rows.to(tensor.device)].cpu()
            for name, tensor in batch.items()
            if name in (self.name, self.settings.mask)
        }

    def facts(self) -> dict[str, Any]:
        """What is reported of the field."""
        report, ranges = self._report()
        raw, fed = self._columns(self.train), self._columns(self._normalized())
        there = self._columns(self.validation)
        features = []
        for index, name in enumerate((self.name,) if self.is_pooled else self.layout.features):
            code = code_of(torch.from_numpy(raw[index]))
            usual = _usual(raw[index], ranges[index], code)
            known = raw[index][usual] if len(usual) else np.zeros(1)
            passed = fed[index][usual] if len(usual) else np.zeros(1)
            features.append(
                {
                    "name": name,
                    "kind": report.kinds[index],
                    **extremes(raw[index]),
                    **distribution(known),
                    "fed": {
                        **moments(passed),
                        "rms": rms(passed),
                        "peak": float(np.abs(passed).max()),
                        "tail": tail(passed),
                        "half": half(passed),
                    },
                    "samples": len(self.train[self.name]),
                    **self._comparison(known, _without(there[index], code)),
                    **({} if code is None else {"code": _code_facts(code, raw[index], fed[index])}),
                    "nonfinite": 0,
                    "nonfinite_samples": [],
                }
            )
        labels = label_shift(self.task.data, *self._labels()) if self.is_class else {}
        return {
            "name": self.name,
            "role": self.role,
            "shape": list(self.train[self.name].shape[1:]),
            "dtype": report.dtype,
            "samples": len(self.train[self.name]),
            "width": self.width,
            "pooled": self.is_pooled,
            "options": list(report.options) if self.role == "input" else self._target_options(),
            "option": self.option,
            "constants": self._constants(),
            "length": float(np.sqrt(self.width * np.mean([feature["fed"]["rms"] ** 2 for feature in features]))),
            "flaws": [],
            "features": features,
            **labels,
        }

    def _report(self) -> tuple[FieldReport, tuple[Range, ...]]:
        """Kinds and options; of a wide field by some of its features, since all of them share one kind."""
        batch, total = dict(self.train), len(self.task.data.train)
        if not self.is_pooled:
            field = inspect_field(self.name, batch, self.settings, total)
            return field.report, field.ranges
        some, shape = spread(self.width, 2 * MAX_NAMED_FEATURES), self.train[self.name].shape
        batch = {
            name: tensor.index_select(self.layout.axis, some) if tensor.shape == shape else tensor
            for name, tensor in batch.items()
        }
        return inspect_field(
            self.name, batch, replace(self.settings, features=(), kind=self.settings.kind[:1]), total
        ).report, (ANYTHING,)

    def _target_options(self) -> list[str]:
        own = f"target_normalization.{self.name}"
        return ["none", *(option for setting, option in self.task.normalizers if setting == own)]

    def _normalized(self) -> Batch:
        if self.role == "target":
            return self.train
        config = self.task.normalizers.get((f"normalization.{self.name}", self.option or "none"))
        try:
            with torch.no_grad():
                return {**self.train, self.name: InputNormalizer.from_config(config)(self.train[self.name])}
        except Exception:  # statistics of the user's file that do not fit the field: the fit of a batch says so
            return self.train

    def _columns(self, batch: Batch) -> list[Array]:
        """Values of each feature, NaN in place of padding; of a wide field all of them in one."""
        values, valid = self.layout.by_feature(batch).double(), self.layout.valid(batch)
        if valid is not None:
            values = values.masked_fill(~valid, torch.nan)
        return [values.flatten().numpy()] if self.is_pooled else [item.flatten().numpy() for item in values.unbind(2)]

    def _comparison(self, known: Array, there: Array) -> dict[str, Any]:
        """The same feature of the validation split."""
        there = there[np.isfinite(there)]
        sizes = len(self.train[self.name]), len(self.validation[self.name])
        found: dict[str, Any] = {"validation": {**moments(there), "samples": sizes[1]}}
        return found if self.is_class or not len(there) else {**found, **feature_shift(known, there, *sizes)}

    def _labels(self) -> tuple[str, Tensor, Tensor]:
        return self.name, self.train[self.name], self.validation[self.name]

    def _constants(self) -> int:
        """Features that are the same in all samples: in all there are, where they are in memory."""
        source = self.task.data.train
        whole = {**self.train, **source.tensors} if isinstance(source, InMemory) else self.train
        values = self.layout.by_feature(whole)
        return int((values == values[:1, :1]).all(dim=0).all(dim=0).sum())


def _settings(known: Mapping[str, FieldSettings], role: str, name: str) -> FieldSettings:
    return known.get(name, FieldSettings()) if role == "input" else FieldSettings()


def _without(values: Array, code: Code | None) -> Array:
    return values if code is None else values[values != code.value]


def _code_facts(code: Code, raw: Array, fed: Array) -> dict[str, float]:
    """A code in its own units and as it is fed: how far from the others, and what it makes of the feature's size."""
    is_code = raw == code.value
    others = fed[~is_code & np.isfinite(raw)]
    apart = abs(float(np.median(fed[is_code])) - float(np.median(others))) / max(float(others.std()), 1e-300)
    return {**asdict(code), "apart": apart, "rms": rms(fed)}


def _usual(values: Array, known: Range, code: Code | None) -> npt.NDArray[np.int64]:
    """Positions of the values that count, no outliers and no code, evenly thinned where they are very many."""
    places = np.flatnonzero(np.isfinite(values) & (values >= known.low) & (values <= known.high))
    places = places if code is None else places[values[places] != code.value]
    return places[spread(len(places), MAX_FEATURE_VALUES).numpy()] if len(places) else places


def _add_flaws(
    task: PyTorchTask,
    params: Params,
    seed: int,
    fields: dict[str, Any],
    samples: tuple[Samples, Samples],
    known: Mapping[str, FieldSettings],
) -> None:
    """Values that are not finite, in all of the data where it is in memory, and the harm they do."""
    expected = []
    for name, facts in fields.items():
        if name == facts["name"] and samples[0][1][name].is_floating_point():
            layout = layout_of(name, samples[0][1], _settings(known, facts["role"], name))
            expected.append(Expected(facts["role"], layout, (ANYTHING,) * len(layout.features)))
    data = task.data
    found = [
        *find_flaws(TRAINING, data.train, samples[0], expected),
        *find_flaws(VALIDATION, data.validation, samples[1], expected),
    ]
    for (split, name), flaws in by_field(found).items():
        harm = _harm(task, params, seed, flaws)
        for flaw in flaws:
            _add_flaw(fields[name], flaw, split, harm, params)


def _add_flaw(facts: dict[str, Any], flaw: Flaw, split: str, harm: str, params: Params) -> None:
    feature = facts["features"][0 if facts["pooled"] else flaw.feature]
    in_order = split == TRAINING and not params.shuffle
    facts["flaws"].append(
        {
            "split": split,
            "what": flaw.what,
            "feature": flaw.expected.layout.features[flaw.feature],
            "values": flaw.values,
            "samples": list(flaw.samples),
            "batch": flaw.samples[0] // params.batch_size if in_order else None,
            "harm": harm,
        }
    )
    if split == TRAINING and flaw.what != COVERED:
        feature["nonfinite"] += flaw.values
        feature["nonfinite_samples"] = sorted({*feature["nonfinite_samples"], *flaw.samples})[:5]


def _harm(task: PyTorchTask, params: Params, seed: int, flaws: list[Flaw]) -> str:
    """What a batch with the flaws does to the training, in words; empty where model and losses cope with it."""
    try:
        check_flaws(task, params, seed, flaws)
    except TaskError as error:
        return str(error)
    return ""
