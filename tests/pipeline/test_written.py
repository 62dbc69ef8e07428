from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preflight.core.edit import MISSING, Edit
from preflight.core.params import Params
from preflight.emit.patch import apply
from preflight.emit.read import value_at
from preflight.emit.yaml_tree import parse
from preflight.pipeline.today import AS_CONFIGURED, Today
from preflight.pipeline.written import edits, rounded, unmapped

ReadText = Callable[..., Today]

FILE = """\
lr: 0.01
batch: 20
epochs: 6   # 48 steps of 20 out of 150 samples
inputs:
  height: none
model: {dropout: 0.0}
"""
MAPPING = {
    "lr": "lr",
    "batch_size": "batch",
    "horizon_epochs": "epochs",
    "normalization.height": "inputs.height",
    "dropout": "model.dropout",
}
FITTED: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("normalization.height", "standardize"): {"kind": "standardize", "center": [2978.21], "scale": [465.067]},
    ("normalization.height", "log_standardize"): {
        "kind": "log_standardize",
        "log_unit": [2.5],
        "center": [7.99],
        "scale": [0.16],
    },
    ("normalization.height", "batch_norm"): {"kind": "batch_norm", "features": 1},
}


def edited(today: Today, params: Params) -> str:
    assert today.file is not None
    return apply(today.file.text, edits(params, today, FITTED, {}), source="train.yaml")


def by_path(found: list[Edit]) -> dict[str, tuple[Any, Any]]:
    return {edit.path: (edit.old, edit.new) for edit in found}


def test_todays_settings_give_no_edit(read_text: ReadText) -> None:
    today = read_text(FILE, MAPPING)
    assert edits(today.params, today, FITTED, {}) == []
    assert rounded(today.params, today) == today.params
    assert edited(today, today.params) == FILE


def test_only_what_changed_is_edited_with_its_reason(read_text: ReadText) -> None:
    today = read_text(FILE, MAPPING)
    params = today.params.with_values({"lr": 0.002, "dropout": 0.1})
    found = edits(params, today, FITTED, {"lr": "because", "dropout": "so"})
    assert found == [Edit("lr", 0.01, 0.002, "because"), Edit("model.dropout", 0.0, 0.1, "so")]


def test_a_proposal_is_rounded_to_two_digits(read_text: ReadText) -> None:
    today = read_text(FILE, MAPPING)
    proposal = today.params.with_values({"lr": 0.0123456, "dropout": 0.123456, "loss_weights.mae": 123.456})
    params = rounded(proposal, today)
    assert (params.lr, params.extras["dropout"], params.loss_weights["mae"]) == (0.012, 0.12, 120.0)


def test_todays_own_digits_are_left_alone(read_text: ReadText) -> None:
    today = read_text(FILE.replace("0.01", "0.0123456"), MAPPING)
    assert rounded(today.params.with_values({"batch_size": 40}), today).lr == 0.0123456


def test_a_proposal_that_rounds_to_todays_value_is_no_change(read_text: ReadText) -> None:
    today = read_text(FILE, MAPPING)
    params = rounded(today.params.with_values({"lr": 0.0100004}), today)
    assert params.changes_from(today.params) == {}


@pytest.mark.parametrize(
    ("unit", "line", "written"),
    [
        ("steps", "warmup: 0", 5),  # of 48
        ("epochs", "warmup: 0", 1),  # 0.6 of 6, and the file has whole epochs
        ("epochs", "warmup: 0.0", 0.6),
        ("samples", "warmup: 0", 96),  # of 960
        ("fraction", "warmup: 0.0", 0.1),
        ("steps", "", 5),
        ("epochs", "", 0.6),
        ("fraction", "", 0.1),
    ],
)
def test_a_warmup_is_written_in_the_files_unit(read_text: ReadText, unit: str, line: str, written: float) -> None:
    mapping = MAPPING | {f"warmup_{unit}": "warmup"}
    today = read_text(f"{FILE}{line}\n", mapping)
    params = rounded(today.params.with_values({"warmup_fraction": 0.1}), today)
    assert by_path(edits(params, today, FITTED, {})) == {"warmup": (0 if line else MISSING, written)}


def test_a_warmup_that_is_chosen_is_never_rounded_away(read_text: ReadText) -> None:
    today = read_text(f"{FILE}warmup: 0\n", MAPPING | {"warmup_epochs": "warmup"})
    params = rounded(today.params.with_values({"warmup_fraction": 0.001}), today)
    assert params.warmup_fraction == pytest.approx(1 / 6)


def test_another_batch_size_sees_as_many_samples(read_text: ReadText) -> None:
    text = FILE.replace("epochs: 6", "steps: 48") + "warmup: 12\n"
    mapping = {k: v for k, v in MAPPING.items() if k != "horizon_epochs"}
    today = read_text(text, mapping | {"horizon_steps": "steps", "warmup_steps": "warmup"})
    params = rounded(today.params.with_values({"batch_size": 40}), today)
    found = by_path(edits(params, today, FITTED, {"batch_size": "because"}))
    assert found == {"batch": (20, 40), "steps": (48, 24), "warmup": (12, 6)}


def test_epochs_stay_as_they_are_at_another_batch_size(read_text: ReadText) -> None:
    today = read_text(f"{FILE}warmup: 1\n", MAPPING | {"warmup_epochs": "warmup"})
    params = rounded(today.params.with_values({"batch_size": 64}), today)
    assert by_path(edits(params, today, FITTED, {})) == {"batch": (20, 64)}


def test_a_normalizer_is_written_with_its_statistics(read_text: ReadText) -> None:
    today = read_text(FILE, MAPPING)
    params = today.params.with_values({"normalization.height": "standardize"})
    new = {"kind": "standardize", "center": [2978.21], "scale": [465.067]}
    assert by_path(edits(params, today, FITTED, {})) == {"inputs.height": ("none", new)}


def test_a_normalizer_that_is_taken_away_is_written_as_none(read_text: ReadText) -> None:
    text = FILE.replace("none", "{kind: robust, center: [0.0], scale: [1.0]}")
    today = read_text(text, MAPPING)
    params = today.params.with_values({"normalization.height": "none"})
    assert by_path(edits(params, today, FITTED, {}))["inputs.height"][1] == "none"
    assert read_text(edited(today, params), MAPPING).params == params


def test_no_clipping_and_no_weight_decay_of_its_own_are_written_as_null(read_text: ReadText) -> None:
    mapping = MAPPING | {"clip_norm": "clip", "weight_decay": "decay", "shuffle": "mix"}
    today = read_text(f"{FILE}clip: 1.0\ndecay: 0.1\nmix: true\n", mapping)
    params = today.params.with_values({"clip_norm": None, "weight_decay": None, "shuffle": False})
    assert read_text(edited(today, params), mapping).params == params
    assert "clip: null" in edited(today, params)


def test_a_change_without_a_key_is_named(read_text: ReadText) -> None:
    today = read_text(FILE, MAPPING)
    values = {"lr": 0.1, "warmup_fraction": 0.1, "loss_weights.mae": 2.0, "normalization.angle": "standardize"}
    params = today.params.with_values(values)
    assert unmapped(params, today) == ["warmup_fraction", "loss_weights.mae", "normalization.angle"]


def test_without_a_file_every_change_is_without_a_key(read_text: ReadText) -> None:
    today = read_text(None, baseline={"lr": 0.1, "batch_size": 8}, horizon_steps=10)
    assert unmapped(today.params.with_values({"lr": 0.2, "batch_size": 16}), today) == ["lr", "batch_size"]


HORIZONS = st.one_of(
    st.tuples(st.just("epochs"), st.integers(1, 30)),
    st.tuples(st.just("steps"), st.integers(10, 500)),
    st.tuples(st.just("samples"), st.integers(200, 20_000)),
)
WARMUPS = st.one_of(
    st.tuples(st.sampled_from(["steps", "samples"]), st.sampled_from(["0", "7", "", "null"])),
    st.tuples(st.just("epochs"), st.sampled_from(["0", "1", "0.5", "", "null"])),
    st.tuples(st.just("fraction"), st.sampled_from(["0.0", "0.05", ""])),
)
NORMALIZERS = st.sampled_from(["none", "null", "{kind: none}", "{kind: robust, center: [3.0], scale: [2.0]}", ""])


@st.composite
def files(draw: st.DrawFn) -> tuple[str, dict[str, str]]:
    """Text of a file with comments, and the mapping of its settings."""
    horizon, length = draw(HORIZONS)
    warmup, amount = draw(WARMUPS)
    normalizer = draw(NORMALIZERS)
    rate = draw(st.sampled_from(["0.01", "3e-4", "1", ".5", "1.0e-05", "0.0123456"]))
    lines = [
        "# a training",
        f"optim: {{name: adamw, lr: {rate}}}  # usual",
        f"batch: {draw(st.sampled_from([1, 20, 32, 150]))}",
        f"length: {length}",
        "schedule:",
        "  decay: cosine",
        *([f"  warmup: {amount}   # TODO"] if amount else []),
        "inputs:",
        "  angle: raw",
        *([f"  height: {normalizer}"] if normalizer else []),
    ]
    mapping = {
        "lr": "optim.lr",
        "batch_size": "batch",
        f"horizon_{horizon}": "length",
        f"warmup_{warmup}": "schedule.warmup",
        "normalization.height": "inputs.height",
    }
    return "\n".join(lines) + "\n", mapping


PROPOSALS = st.fixed_dictionaries(
    {},
    optional={
        "lr": st.floats(1e-6, 10.0),
        "warmup_fraction": st.one_of(st.sampled_from([0.0, 0.02, 0.05, 0.1, 0.2]), st.floats(0.0, 1.0)),
        "batch_size": st.sampled_from([1, 8, 16, 48, 64, 100, 150]),
        "normalization.height": st.sampled_from(["none", "standardize", "log_standardize", "batch_norm"]),
    },
)


@settings(max_examples=200, deadline=None)
@given(file=files(), proposal=PROPOSALS)
def test_what_is_confirmed_is_what_is_written(
    read_text: ReadText, file: tuple[str, dict[str, str]], proposal: dict[str, Any]
) -> None:
    text, mapping = file
    today = read_text(text, mapping)
    confirmed = rounded(today.params.with_values(proposal), today)
    assert rounded(confirmed, today) == confirmed
    written = edited(today, confirmed)
    again = read_text(written, mapping)
    option = confirmed.normalization["height"]
    kept = "none" if option == "none" else AS_CONFIGURED
    assert again.params == confirmed.with_values({"normalization.height": kept})
    if option not in ("none", AS_CONFIGURED):
        assert value_at(parse(written, "train.yaml"), "inputs.height") == FITTED["normalization.height", option]
