"""Case A as its owner reads it: four CSV files, and nothing but pandas."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from preflight.cli.main import main

pytestmark = pytest.mark.slow  # each trains for half a minute

SHORT = ("budget=smoke", "budget.trials=1", "budget.confirm_steps=380", "budget.seeds=2", "workers=1", "overwrite=true")
COMPONENTS = ("backbone", "embedding", "arcface")


def trained(model: str, folder: Path) -> Path:
    """A run of the model at today's settings; the folder of its first long trial."""
    assert main([f"+model={model}", *SHORT, f"run_dir={folder / 'run'}", f"output={folder / 'fixed.yaml'}"]) == 0
    return folder / "run"


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained("face_arcface_healthy", tmp_path_factory.mktemp("healthy"))


def test_the_files_have_the_documented_columns(healthy: Path) -> None:
    tables = {path.stem: list(pd.read_csv(path)) for path in (healthy / "trials" / "confirm-000").glob("*.csv")}
    assert tables["gradient_norms"][:2] == ["epoch", "overall"]
    assert set(COMPONENTS) <= set(tables["gradient_norms"])
    assert tables["weight_deltas"] == ["epoch", *(f"{name}_delta" for name in COMPONENTS)]
    assert tables["arcface_stats"] == ["epoch", "weight_mean", "weight_std", "weight_norm_mean", "weight_norm_std"]
    assert tables["learning_rates"] == ["epoch", "lr_group0", "lr_group1"]


def test_the_documented_summary_can_be_made_by_pandas_alone(healthy: Path) -> None:
    folder = healthy / "trials" / "confirm-000"
    norms, deltas, heads, rates = (
        pd.read_csv(folder / f"{name}.csv")
        for name in ("gradient_norms", "weight_deltas", "arcface_stats", "learning_rates")
    )
    assert norms["overall"].notna().all()
    by_epoch = norms.groupby("epoch")["overall"].agg(["mean", "std", "max"])
    assert list(by_epoch.index) == list(range(20))
    assert ((norms["arcface"] / norms["backbone"]).median()) > 0
    assert (rates["lr_group1"] / rates["lr_group0"]).round(6).eq(10).all()  # the head's rate is ten times as high
    totals = deltas.groupby("epoch").sum().sum()
    assert totals["arcface_delta"] < 100 * totals["backbone_delta"]
    assert heads["weight_norm_mean"].notna().any()


def test_collapsed_prototypes_are_found_although_the_norms_of_their_rows_look_fine(tmp_path: Path) -> None:
    run = trained("face_arcface_collapsed", tmp_path)
    found = {item["code"]: item for item in json.loads((run / "findings.json").read_text())["findings"]}
    cosine, rank = re.findall(r"mean cosine ([\d.]+).* effective rank ([\d.]+)", found["PF701"]["message"])[0]
    assert float(cosine) > 0.9
    assert float(rank) < 2


def test_the_healthy_head_is_not_accused(healthy: Path) -> None:
    assert json.loads((healthy / "findings.json").read_text())["findings"] == []
