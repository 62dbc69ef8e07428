from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preflight.core.finding import WARNING, Clean, Finding, NotApplicable
from preflight.core.params import Params
from preflight.rules.pf507_overfitting import RULE
from preflight.telemetry.recording import Recording

Recorded = Callable[..., Recording]
EPOCHS = 30
TRAIN = 2.0 * 0.85 ** np.arange(EPOCHS)
VALID = 1.0 + 0.05 * np.abs(np.arange(EPOCHS) - 8)


@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_a_validation_loss_that_rises_while_training_falls_is_found(recorded: Recorded, noise: float) -> None:
    values = VALID + noise * np.random.default_rng(0).normal(size=EPOCHS)
    answer = RULE.judge(recorded(history={"loss": TRAIN, "val_loss": values}))
    assert isinstance(answer, Finding)
    assert (answer.severity, answer.where) == (WARNING, "val_loss")
    best = int(values.argmin())
    assert f"is best at epoch {best}" in answer.message or "at step" in answer.message


def test_the_place_is_an_epoch_and_no_setting_is_said_to_mend_it(recorded: Recorded) -> None:
    history = {"epoch": np.arange(EPOCHS), "loss": TRAIN, "val_loss": VALID}
    answer = RULE.judge(recorded(Params(lr=0.1, batch_size=8, weight_decay=0.01), history=history))
    assert isinstance(answer, Finding)
    assert answer.remedies[0].text.startswith("stop at epoch 8")
    assert [remedy.settings for remedy in answer.remedies] == [{}, {}]


def test_the_telemetry_of_a_trial_is_judged_too(recorded: Recorded) -> None:
    generator = np.random.default_rng(0)
    steps = np.repeat(TRAIN, 10) * np.exp(0.3 * generator.normal(size=10 * EPOCHS))
    validation = np.full(10 * EPOCHS, np.nan)
    validation[9::10] = VALID
    columns = {"total": steps, "mse": steps, "val_mse": validation, "val_score": validation}
    answer = RULE.judge(recorded(losses=columns))
    assert isinstance(answer, Finding)
    assert answer.where == "val_mse"
    assert "best at step 89" in answer.message


def test_a_rise_of_all_epochs_but_the_first_is_found(recorded: Recorded) -> None:
    values = np.linspace(0.5, 1.2, 8)
    assert isinstance(RULE.judge(recorded(history={"loss": TRAIN[:8], "val_loss": values})), Finding)


def healthy(seed: int) -> dict[str, np.ndarray]:
    """A run that converges to a gap above its training loss, with noise of its own size, also correlated."""
    generator = np.random.default_rng(seed)
    epochs = int(generator.integers(5, 120))
    rate, floor = generator.uniform(0.6, 0.98), generator.uniform(0.05, 1.0)
    train = 2.0 * rate ** np.arange(epochs)
    noise = generator.normal(size=epochs) * generator.choice([0.005, 0.03, 0.1])
    if seed % 2:
        noise = np.convolve(noise, [0.5, 0.3, 0.2], mode="same")
    return {"loss": train + 0.02, "val_loss": floor + train * generator.uniform(0.8, 1.5) + floor * noise}


def test_healthy_runs_are_clean(recorded: Recorded) -> None:
    found = [seed for seed in range(400) if isinstance(RULE.judge(recorded(history=healthy(seed))), Finding)]
    assert len(found) <= 4, found


@pytest.mark.parametrize(
    "history",
    [
        {"loss": TRAIN, "val_loss": TRAIN + 1.0},
        {"loss": TRAIN, "val_loss": VALID, "val_acc": np.linspace(0.5, 0.9, EPOCHS)},  # still better where it counts
        {"loss": TRAIN, "val_loss": VALID, "val_error": np.linspace(0.5, 0.1, EPOCHS)},
        {"loss": TRAIN[::-1], "val_loss": VALID},  # both rise: another fault
        {"loss": TRAIN, "val_loss": 1 + 0.002 * np.arange(EPOCHS)},  # a few percent
        {"loss": [1.0] * EPOCHS, "val_loss": VALID},
    ],
)
def test_what_does_not_overfit_is_clean(recorded: Recorded, history: dict[str, np.ndarray]) -> None:
    assert RULE.judge(recorded(history=history)) == Clean()


STOPS = np.array([0.3, 0.4, 0.5, 0.6, *[0.62] * 8])
RISES = np.array([2.2, 1.63, 1.42, 1.34, 1.44, 1.55, 1.66, 1.78, 1.9, 2.02, 2.14, 2.26])


@pytest.mark.parametrize("noise", [0.0, 0.01])
@pytest.mark.parametrize("name", ["val_acc", "val_error"])
def test_a_metric_that_has_stopped_at_the_best_loss_excuses_no_rise(
    recorded: Recorded, name: str, noise: float
) -> None:
    values = STOPS + noise * np.array([0, 0, 0, 0, 1, -1, 0, 1, -1, 0, 1, 0])
    history = {"loss": TRAIN[:12], "val_loss": RISES, name: values if name == "val_acc" else 1 - values}
    assert isinstance(RULE.judge(recorded(history=history)), Finding)


@pytest.mark.parametrize(
    "metric",
    [
        np.array([0.3, 0.4, 0.5, 0.6, *[0.75] * 8]),  # at once, and much better than where the loss was best
        np.array([0.3, 0.6, 0.8, 0.9, *np.linspace(0.902, 0.92, 8)]),  # slowly, and on and on
        np.array([0.3, 0.6, 0.8, 0.9, *(np.linspace(0.905, 0.93, 8) + 0.002 * np.tile([1, -1], 4))]),
    ],
)
def test_a_metric_that_climbs_after_the_best_loss_excuses_a_rise_by_overconfidence(
    recorded: Recorded, metric: np.ndarray
) -> None:
    assert RULE.judge(recorded(history={"loss": TRAIN[:12], "val_loss": RISES, "val_acc": metric})) == Clean()


FALLS = [1.0, 0.8, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02]


def test_five_evaluations_that_all_rise_to_above_the_first_are_enough(recorded: Recorded) -> None:
    rises = [1.0, 0.85, 0.7, 0.72, 0.8, 0.9, 1.05, 1.3]
    assert isinstance(RULE.judge(recorded(history={"loss": FALLS, "val_loss": rises})), Finding)
    for values in ([1.0, 0.85, 0.7, 0.72, 0.9, 0.8, 1.05, 1.3], [1.4, 0.85, 0.7, 0.72, 0.8, 0.9, 1.05, 1.3]):
        assert RULE.judge(recorded(history={"loss": FALLS, "val_loss": values})) == Clean()


def test_too_few_evaluations_are_not_clean(recorded: Recorded) -> None:
    short = NotApplicable("val_loss has 5 evaluations, 6 are needed")
    assert RULE.judge(recorded(history={"loss": TRAIN[:5], "val_loss": TRAIN[:5] + 1})) == short
    begins = NotApplicable("val_loss, which rises to 1.3 after its best value, has 4 evaluations there, 5 are needed")
    values = [1.0, 0.98, 0.96, 0.94, 0.92, 0.9, 0.95, 1.05, 1.15, 1.3]
    assert RULE.judge(recorded(history={"loss": TRAIN[:10], "val_loss": values})) == begins


@pytest.mark.parametrize("history", [{"loss": TRAIN}, {"val_loss": VALID}, {"ce_loss": TRAIN, "val_kl_loss": VALID}])
def test_a_loss_of_both_splits_is_needed(recorded: Recorded, history: dict[str, np.ndarray]) -> None:
    assert RULE.judge(recorded(history=history)) == NotApplicable("there is no loss that is known of both splits")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.floats(1e-6, 1e6), st.booleans())
def test_the_unit_of_the_loss_does_not_matter(recorded: Recorded, scale: float, rises: bool) -> None:
    values = VALID if rises else TRAIN + 1
    answer = RULE.judge(recorded(history={"loss": scale * TRAIN, "val_loss": scale * values}))
    assert isinstance(answer, Finding) == rises


@pytest.mark.parametrize(
    ("training", "validation", "found"),
    [
        (1e-4, 0.8, True),
        (1e-4, 0.2, False),  # a tenth of the constant's: what is learned holds for others too
        (0.02, 0.8, False),  # there is something left to learn
        (0.02, 2.4, True),  # and nothing that holds for others
    ],
)
def test_samples_that_are_learned_by_heart_are_found(
    recorded: Recorded, training: float, validation: float, found: bool
) -> None:
    falls = np.geomspace(2.3, training, 50)
    empty = [float("nan")] * 9
    losses = {"total": falls, "ce": falls, "val_ce": [*empty, validation] * 5}
    facts = {"losses": {"ce": {"constant": 2.3, "constant_training": 2.3}}}
    answer = RULE.judge(recorded(facts=facts, losses=losses))
    assert isinstance(answer, Finding) == found
    if isinstance(answer, Finding):
        assert "does not hold for others" in answer.message


@pytest.mark.parametrize(("level", "found"), [(0.667, False), (0.4, True)])
def test_a_dead_network_is_not_said_to_overfit_by_the_chance_of_the_split(
    recorded: Recorded, level: float, found: bool
) -> None:
    """Few samples: the validation's constant is .73 where that of training is .667, and batches are skewed."""
    falls = np.concatenate([np.geomspace(30, level, 30), level * np.tile([0.5, 0.8, 0.9, 1.8], 40)])
    losses = {"total": falls, "mse": falls, "val_mse": np.tile([*[np.nan] * 9, 0.745], 19)}
    facts = {"losses": {"mse": {"constant": 0.73, "constant_training": 0.667}}}
    assert isinstance(RULE.judge(recorded(facts=facts, losses=losses)), Finding) == found


@pytest.mark.parametrize("learns", [False, True])
def test_a_run_that_has_run_away_does_not_overfit(recorded: Recorded, learns: bool) -> None:
    """Both losses grow by decades, that of validation by more; where training comes down, it is learned by heart."""
    losses = np.geomspace(1.16, 1e-3 if learns else 3.3e28, 50)
    validation = np.tile([*[np.nan] * 9, 1.0], 5) * np.geomspace(1.0, 1e33, 50)
    facts = {"losses": {"ce": {"constant": 1.06, "constant_training": 1.05}}}
    answer = RULE.judge(recorded(facts=facts, losses={"total": losses, "ce": losses, "val_ce": validation}))
    assert isinstance(answer, Finding) == learns
    if isinstance(answer, Finding):
        assert "times what a constant output gives" in answer.message or "is best" in answer.message


def test_a_run_that_comes_back_after_it_ran_away_does_not_overfit(recorded: Recorded) -> None:
    """The training loss falls all the time after the best validation loss, and ends far above where it was then."""
    training = np.concatenate([np.geomspace(2.0, 0.5, 10), np.geomspace(1e6, 1e2, 30)])
    validation = np.concatenate([np.geomspace(2.0, 0.6, 10), np.geomspace(1e2, 1e4, 30)])
    assert RULE.judge(recorded(history={"loss": training, "val_loss": validation})) == Clean()
