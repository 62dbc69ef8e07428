from __future__ import annotations

from collections.abc import Callable
from typing import Any

from preflight.advise.recommendation import CHANGE, KEEP, Recommendation
from preflight.core.params import Params
from preflight.report.long_run import LongRun, carries, long_run
from preflight.report.page import write_report
from preflight.report.sources import Sources
from preflight.telemetry import store

TODAY = Params(lr=0.03, batch_size=32, normalization={"input": "none"}, loss_weights={"ce": 1.0})
NewRun = Callable[..., Any]


def answered(writer: Any, to: Params = TODAY, steps: int = 500) -> Sources:
    writer.recommendation(Recommendation(CHANGE if to != TODAY else KEEP, "", TODAY, to, steps=steps))
    return Sources.read(writer.folder)


def rows(found: LongRun | None) -> dict[str, tuple[str, str]]:
    assert found is not None
    return {row.name: (row.value, row.holds) for row in found.rows}


def test_what_is_carried_over_and_how(new_run: NewRun) -> None:
    better = TODAY.with_values({"lr": 0.003, "warmup_fraction": 0.1, "normalization.input": "standardize"})
    found = long_run(answered(new_run(), better))
    assert found is not None
    assert found.sentence.startswith("Measured over 500 of 5,000 steps (10%). No value below is scaled")
    assert rows(found) == {
        "lr": ("0.003, as measured over 500 steps", "may"),
        "warmup_fraction": ("10% of the run: 50 steps where measured, 500 in the long run", "unsure"),
        "normalization.input": ("standardize", "likely"),
    }


def test_the_learning_rate_is_carried_over_where_it_is_kept_too(new_run: NewRun) -> None:
    assert list(rows(long_run(answered(new_run())))) == ["lr"]


def test_another_batch_size_changes_the_number_of_steps(new_run: NewRun) -> None:
    found = rows(long_run(answered(new_run(), TODAY.with_values({"batch_size": 64}))))
    assert found["batch_size"] == ("64: the long run has 2,500 steps for the same samples", "may")
    assert found["lr"] == ("0.03, as measured over 250 steps", "may")


def test_a_schedule_is_named_and_a_constant_rate_is_none(new_run: NewRun) -> None:
    writer = new_run()
    store.write_json(writer.folder / store.SETTINGS, {"values": {"model": {"schedule": "cosine"}}})
    assert rows(long_run(answered(writer)))["schedule"] == ("cosine, over the whole run whatever its length", "rarely")
    store.write_json(writer.folder / store.SETTINGS, {"values": {"model": {"schedule": "constant"}}})
    assert "schedule" not in rows(long_run(answered(writer)))


def test_nothing_is_said_where_the_whole_run_was_measured_or_nothing_was(new_run: NewRun) -> None:
    better = TODAY.with_values({"lr": 0.003})
    writer = new_run()
    assert long_run(Sources.read(writer.folder)) is None
    for steps in (0, 5000):
        sources = answered(writer, better, steps)
        assert long_run(sources) is None
        assert carries("lr", sources) == ""
    assert "<h2>The long run" not in write_report(writer.folder).read_text()


def test_changes_are_labelled_in_the_report(changed: Any) -> None:
    html = write_report(changed.folder).read_text()
    assert "Holds in<br>the long run" in html
    assert "<td>likely</td>" in html
