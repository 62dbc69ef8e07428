"""All rules, in the order of their codes."""

from __future__ import annotations

import re

from preflight.core.errors import InputError
from preflight.core.spelling import closest
from preflight.rules import (
    pf101_exploding,
    pf102_vanishing,
    pf103_dead_layers,
    pf104_idle,
    pf105_clipping,
    pf106_imbalance,
    pf107_initialization,
    pf108_nonfinite,
    pf109_not_zeroed,
    pf201_lr_too_high,
    pf202_lr_too_low,
    pf203_lr_at_boundary,
    pf204_warmup_too_long,
    pf205_no_warmup,
    pf206_scheduler_unit,
    pf207_lr_not_as_planned,
    pf208_lr_group_ratios,
    pf301_unnormalized,
    pf302_heavy_tail,
    pf303_identifier,
    pf304_constant,
    pf305_nonfinite,
    pf306_validation,
    pf307_not_shuffled,
    pf308_raw_target,
    pf309_twice,
    pf310_labels,
    pf311_unreadable,
    pf401_constant,
    pf402_flat,
    pf403_dominant,
    pf404_conflict,
    pf405_initial,
    pf406_summed,
    pf407_range,
    pf408_softmax,
    pf409_regularization,
    pf410_ignored,
    pf501_zeros,
    pf502_constant_series,
    pf503_log_disagrees,
    pf504_metric_disagrees,
    pf505_train_eval_gap,
    pf506_small_batch_norm,
    pf507_overfitting,
    pf508_nonfinite_metrics,
    pf509_metric_never_moves,
    pf601_loader_bound,
    pf602_memory_unused,
    pf603_step_outliers,
    pf604_memory_growing,
    pf605_logging_interval,
    pf606_projected_time,
    pf701_collapse,
    pf702_dead_activations,
)
from preflight.rules.base import FAMILIES, Rule

# What is meant for a code, whether it is one or not.
CODE = re.compile(r"PF\d+", re.IGNORECASE)

RULES: tuple[Rule, ...] = (
    pf101_exploding.RULE,
    pf102_vanishing.RULE,
    pf103_dead_layers.RULE,
    pf104_idle.RULE,
    pf105_clipping.RULE,
    pf106_imbalance.RULE,
    pf107_initialization.RULE,
    pf108_nonfinite.RULE,
    pf109_not_zeroed.RULE,
    pf201_lr_too_high.RULE,
    pf202_lr_too_low.RULE,
    pf203_lr_at_boundary.RULE,
    pf204_warmup_too_long.RULE,
    pf205_no_warmup.RULE,
    pf206_scheduler_unit.RULE,
    pf207_lr_not_as_planned.RULE,
    pf208_lr_group_ratios.RULE,
    pf301_unnormalized.RULE,
    pf302_heavy_tail.RULE,
    pf303_identifier.RULE,
    pf304_constant.RULE,
    pf305_nonfinite.RULE,
    pf306_validation.RULE,
    pf307_not_shuffled.RULE,
    pf308_raw_target.RULE,
    pf309_twice.RULE,
    pf310_labels.RULE,
    pf311_unreadable.RULE,
    pf401_constant.RULE,
    pf402_flat.RULE,
    pf403_dominant.RULE,
    pf404_conflict.RULE,
    pf405_initial.RULE,
    pf406_summed.RULE,
    pf407_range.RULE,
    pf408_softmax.RULE,
    pf409_regularization.RULE,
    pf410_ignored.RULE,
    pf501_zeros.RULE,
    pf502_constant_series.RULE,
    pf503_log_disagrees.RULE,
    pf504_metric_disagrees.RULE,
    pf505_train_eval_gap.RULE,
    pf506_small_batch_norm.RULE,
    pf507_overfitting.RULE,
    pf508_nonfinite_metrics.RULE,
    pf509_metric_never_moves.RULE,
    pf601_loader_bound.RULE,
    pf602_memory_unused.RULE,
    pf603_step_outliers.RULE,
    pf604_memory_growing.RULE,
    pf605_logging_interval.RULE,
    pf606_projected_time.RULE,
    pf701_collapse.RULE,
    pf702_dead_activations.RULE,
)


def rule(name: str) -> Rule:
    """The rule of a code or a name; raises :class:`InputError` with the nearest ones."""
    for item in RULES:
        if name.upper() == item.code or name.lower() == item.name:
            return item
    raise InputError(f"there is no rule '{name}'; {_nearest(name)} `preflight rules` lists them all")


def _nearest(name: str) -> str:
    """A code's family, since numbers that look alike have nothing in common; else what may have been misspelt."""
    if CODE.fullmatch(name):
        family = [item.code for item in RULES if item.code.startswith(name.upper()[:3])]
        digits = f"codes begin with PF1 to PF{max(FAMILIES)},"
        return f"those of its family: {', '.join(family)};" if family else digits
    codes, names = [item.code for item in RULES], [item.name for item in RULES]
    close = closest(name.upper(), codes) or closest(name.lower(), names)
    return "rules go by a code, PF101, or a name, exploding-gradients;" if close is None else f"did you mean '{close}'?"
