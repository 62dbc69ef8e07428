"""What the rules of the data say of the tasks that preflight brings along, before anything is trained."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import pytest

from preflight.core.finding import Finding
from preflight.core.settings import load
from preflight.pipeline.inspection import inspect_task, normalization_that_fits, open_file, open_task
from preflight.probes.distributions import look_at_fields
from preflight.probes.first_layer import look_at_first_layers
from preflight.probes.labels import look_at_labels
from preflight.probes.order import look_at_order
from preflight.rules.registry import RULES
from preflight.telemetry.recording import Recording


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("digits", {"PF301": "input"}),
        ("digits_healthy", {}),
        ("icecube", {"PF301": "pulses.time", "PF302": "pulses.charge", "PF303": "pulses.sensor_id"}),
    ],
)
def test_what_is_wrong_is_named_and_nothing_else(model: str, expected: Mapping[str, str]) -> None:
    settings = load([f"+model={model}"])
    task = open_task(settings)
    inspection = inspect_task(settings, task, open_file(settings))
    facts = {}
    for look in (look_at_fields, look_at_first_layers, look_at_order, look_at_labels):
        facts |= look(task, inspection.today.params, settings.seed)
    info = {"params": asdict(inspection.today.params)}
    recording = Recording(Path(), info, json.loads(json.dumps(facts)), {})
    answers = {rule.code: rule.judge(recording) for rule in RULES if rule.code.startswith("PF3")}
    found = {code: answer for code, answer in answers.items() if isinstance(answer, Finding)}
    assert {code: finding.where for code, finding in found.items()} == expected
    if "PF301" in found:
        wanted = found["PF301"].remedies[0].settings
        assert wanted == {name: normalization_that_fits(inspection)[name] for name in wanted} != {}
