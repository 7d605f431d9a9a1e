"""How long a test waits for what is sure to happen: long enough for a busy machine, so that only a hang fails."""

PATIENCE = 600
"""Seconds, less than the `timeout` of pytest."""
