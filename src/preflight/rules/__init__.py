"""Judgements of a recording: pure functions, no torch."""
