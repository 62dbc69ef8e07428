"""Editing a user's YAML config by span, so that exactly the changed values change."""
