"""`preflight rules`: what is looked for, generated from the rules themselves."""

from __future__ import annotations

from textwrap import fill

from preflight.cli.arguments import Parser
from preflight.rules.base import FAMILIES, Rule
from preflight.rules.registry import RULES, rule

WIDTH = 100


def rules(arguments: list[str]) -> int:
    """List all rules, or explain one."""
    parser = Parser(prog="preflight rules", description="Lists the faults that preflight looks for, or explains one.")
    parser.add_argument("rule", nargs="?", metavar="CODE", help="a code, PF101, or a name, exploding-gradients")
    options = parser.parse_args(arguments)
    print(catalogue() if options.rule is None else explanation(rule(options.rule)))
    return 0


def catalogue() -> str:
    """Every rule by family, a line each."""
    lines = []
    for digit, family in FAMILIES.items():
        members = [item for item in RULES if item.code[2] == digit]
        if members:
            lines += [f"{digit}xx {family}", *(f"  {item.code}  {item.name:<30} {item.title}" for item in members), ""]
    return "\n".join([*lines, "preflight rules CODE explains one"])


def explanation(item: Rule) -> str:
    """What a rule is, how it is detected, why it matters and how to mend it."""
    parts = [f"{item.code} {item.name}: {item.title}  ({item.family})"]
    for label, text in (("Detected", item.detects), ("Matters", item.matters), ("Fix", item.fix)):
        parts.append(fill(f"{label}: {text}", WIDTH, subsequent_indent="  "))
    if item.thresholds:
        parts.append("Limits:")
        for limit in item.thresholds:
            text = f"{limit.name} = {limit.value:g}: {limit.meaning} (source: {limit.source})"
            parts.append(fill(text, WIDTH, initial_indent="  ", subsequent_indent="    "))
    brought = [*item.causes, *(f"{code} in the same place" for code in item.causes_there)]
    if brought:
        parts.append(f"Brings about: {', '.join(brought)}")
    return "\n".join(parts)
