"""What both wings share: settings, edits, errors. Imports nothing else of preflight."""
