"""Training tasks that ship with preflight; no rule knows their names."""
