"""One bar per contestant: its speed over the reference of its case."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure

from benchmarks.cases import Row


def save_plot(rows: list[Row], path: Path) -> None:
    """Draws the speed of every contestant over its reference, on a logarithmic axis."""
    figure = Figure(figsize=(7, 1 + 0.25 * len(rows)), layout="constrained")
    axis = figure.subplots()
    places = range(len(rows))
    axis.barh(places, [row.speedup for row in rows], color=["0.7" if r.name == r.reference else "C0" for r in rows])
    axis.set_yticks(places, [f"{row.case}: {row.name}" for row in rows], fontsize=7)
    axis.invert_yaxis()
    axis.set_xscale("log")
    axis.axvline(1, color="0.3", linewidth=0.8)
    axis.set_xlabel("speed over the reference (median of rounds)")
    figure.savefig(path, dpi=150)
