from __future__ import annotations

import subprocess
import sys

import pytest

from preflight.cli.main import main
from preflight.rules.base import Rule
from preflight.rules.registry import RULES


def test_every_rule_is_listed_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules"]) == 0
    out = capsys.readouterr().out
    for item in RULES:
        assert out.count(f"{item.code}  {item.name} ") == 1


@pytest.mark.parametrize("item", RULES, ids=lambda item: item.code)
def test_a_rule_is_explained_from_its_own_file(item: Rule, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", item.name]) == 0
    out = capsys.readouterr().out
    words = " ".join(out.split())
    for text in (item.detects, item.matters, item.fix):
        assert " ".join(text.split()) in words
    for threshold in item.thresholds:
        assert f"{threshold.name} = {threshold.value:g}:" in words


def test_an_unknown_rule_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "PF1O1"]) == 2
    assert capsys.readouterr().err.startswith("preflight: there is no rule 'PF1O1'; did you mean 'PF101'?")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("dead-layer", "did you mean 'dead-layers'?"),
        ("PF2", "those of its family: PF201, "),
        ("pf399", "those of its family: PF301, "),
        ("PF999", "codes begin with PF1 to PF7"),
    ],
)
def test_what_was_meant_is_found_among_names_and_families(
    name: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["rules", name]) == 2
    text = capsys.readouterr().err
    assert told in text
    assert ("did you mean" in text) == ("did you mean" in told)


def test_rules_need_no_torch() -> None:
    program = "import sys; from preflight.cli.main import main; main(['rules']); assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
