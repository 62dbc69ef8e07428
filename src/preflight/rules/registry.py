"""All rules, in the order of their codes."""

from __future__ import annotations

from preflight.core.errors import InputError, alternatives
from preflight.rules import pf101_exploding
from preflight.rules.base import Rule

RULES: tuple[Rule, ...] = (pf101_exploding.RULE,)


def rule(name: str) -> Rule:
    """The rule of a code or a name; raises :class:`InputError` with the nearest ones."""
    for item in RULES:
        if name.upper() == item.code or name.lower() == item.name:
            return item
    raise InputError(f"there is no rule '{name}'; {alternatives(name.upper(), [item.code for item in RULES])}")
