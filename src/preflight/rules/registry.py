"""All rules, in the order of their codes."""

from __future__ import annotations

from preflight.core.errors import InputError, alternatives
from preflight.rules import (
    pf101_exploding,
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
)
from preflight.rules.base import Rule

RULES: tuple[Rule, ...] = (
    pf101_exploding.RULE,
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
)


def rule(name: str) -> Rule:
    """The rule of a code or a name; raises :class:`InputError` with the nearest ones."""
    for item in RULES:
        if name.upper() == item.code or name.lower() == item.name:
            return item
    raise InputError(f"there is no rule '{name}'; {alternatives(name.upper(), [item.code for item in RULES])}")
