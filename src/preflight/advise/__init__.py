"""Recorded trials -> what to change and what that is worth. Reads; never trains."""
