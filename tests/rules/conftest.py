from __future__ import annotations

from hypothesis import settings

# Shared machines are slow at times, and no example is wrong for it.
settings.register_profile("patient", settings.default, deadline=None, max_examples=50)
settings.load_profile("patient")
