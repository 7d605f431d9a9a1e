"""Timings of our procedures next to those of peers, taken in turns in one run: `python -m benchmarks`."""
