"""Numbers as programs print them."""

from __future__ import annotations

import math
import re

# What stands for "not recorded": pandas, spreadsheets, SQL, JSON.
ABSENT = frozenset({"", "-", "na", "n/a", "#n/a", "null", "none", "<na>"})
# Microsoft's C runtime: 1.#INF, -1.#IND, 1.#QNAN.
_MSVC = re.compile(r"([+-]?)1\.?#(inf|ind|qnan|snan|nan)\w*", re.IGNORECASE)
_WRAPPED = re.compile(r"(?:tensor|array|np\.float\d+)?[(\[]\s*([^()\[\],]+?)\s*(?:,[^()]*)?[)\]]", re.IGNORECASE)


def is_absent(text: str) -> bool:
    """Whether a cell is empty or spelled so."""
    return text.strip().strip("\"'").lower() in ABSENT


def parse_number(text: str) -> float | None:
    """Value of a cell, NaN for one that is empty or spelled so; None where it is no number."""
    text = text.strip().strip("\"'")
    if is_absent(text):
        return math.nan
    try:
        return float(text)
    except ValueError:
        return _unusual(text)


def _unusual(text: str) -> float | None:
    if found := _MSVC.fullmatch(text):
        return float(f"{found[1]}inf") if found[2].lower() == "inf" else math.nan
    if found := _WRAPPED.fullmatch(text):
        return parse_number(found[1])
    if text.endswith("%"):
        return parse_number(text[:-1])
    return None
