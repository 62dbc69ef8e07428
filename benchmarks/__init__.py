"""Benchmarks of what preflight promises: `python -m benchmarks.NAME [--quick]`."""
