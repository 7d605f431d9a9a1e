"""`python -m hqsam_lightning.benchmark`: runs `python -m benchmarks` of the checkout; the wheel holds no benchmarks."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Runs the benchmarks of the checkout that this package is imported from."""
    if not (CHECKOUT / "benchmarks" / "__main__.py").is_file():
        sys.exit("error: the installed package holds no benchmarks; run `python -m benchmarks` in a checkout")
    sys.path.insert(0, str(CHECKOUT))
    runpy.run_module("benchmarks", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
