"""The process around a run: signals, progress, settings, logs."""
