"""Optuna's side: the space as distributions, and ask -> run -> tell."""
