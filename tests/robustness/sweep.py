"""Feeds damaged and odd inputs to everything that reads other people's files: `python tests/robustness/sweep.py`.

Each input ends in one of two ways: it is used, or it is refused by an error of ours. Anything else is a fault: another
exception, a crash of the process, a hang, or more memory than a sound input takes. Counts by target go to a JSON file.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import random
import resource
import signal
import sys
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[1]))

from hqsam_lightning.errors import HQSamError
from robustness.targets import TARGETS, Target

HANG = 120
"""Seconds of processor time after which an input counts as a hang."""
MEMORY = 3 * 2**30
"""Bytes by which a process may grow."""


def run_target(name: str, count: int, seed: int, folder: Path, connection: object = None) -> dict[str, object]:
    """Runs one target's inputs in this process.

    Args:
        name: of `TARGETS`.
        count: how many inputs.
        seed: they are functions of (name, seed, number).
        folder: to write into.
        connection: a pipe that is told each input's number, and the result.
    """
    target: Target = TARGETS[name](folder)
    outcomes: Counter[str] = Counter()
    faults: list[str] = []
    signal.signal(signal.SIGVTALRM, _hang)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        if connection is not None:
            connection.send(number)
        rng = random.Random(f"{name} {seed} {number}")
        signal.setitimer(signal.ITIMER_VIRTUAL, HANG)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                target.use(rng)
            outcomes["used"] += 1
        except HQSamError as error:
            outcomes["refused"] += 1
            if not str(error).strip():
                faults.append(f"{name} {seed} {number}: an error without a message")
        except BaseException:
            outcomes["fault"] += 1
            faults.append(f"{name} {seed} {number}: {traceback.format_exc(limit=-6)}")
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    result = {"inputs": count, **outcomes, "grown_mib": round(grown / 2**20), "faults": faults}
    if connection is not None:
        connection.send(result)
    return result


def _hang(number: int, frame: FrameType | None) -> None:
    raise TimeoutError(f"more than {HANG} s of processor time")


def run_apart(name: str, count: int, seed: int) -> dict[str, object]:
    """Runs a target in a process of its own, which may crash."""
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    with tempfile.TemporaryDirectory() as folder:
        process = multiprocessing.get_context("spawn").Process(
            target=_limited, args=(name, count, seed, Path(folder), theirs)
        )
        process.start()
        theirs.close()
        last: object = None
        try:
            while True:
                last = ours.recv()
        except EOFError:
            process.join()
    if isinstance(last, dict):
        return last
    return {"inputs": count, "crash": 1, "faults": [f"{name} {seed} {last}: exit code {process.exitcode}"]}


def _limited(name: str, count: int, seed: int, folder: Path, connection: object) -> None:
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, resource.RLIM_INFINITY))
    run_target(name, count, seed, folder, connection)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the targets that are named, prints the counts, and gives 1 where anything was a fault."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=[], help=f"of {', '.join(TARGETS)}; all by default")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies each target's number of inputs")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="JSON file of counts and faults")
    options = parser.parse_args(arguments)
    results = {}
    for name in options.targets or TARGETS:
        count = max(1, round(TARGETS[name].inputs * options.scale))
        results[name] = run_apart(name, count, options.seed)
        print(name, {key: value for key, value in results[name].items() if key != "faults"}, flush=True)
        for fault in results[name]["faults"][:5]:
            print(f"  {fault}", flush=True)
        if options.out:
            options.out.write_text(json.dumps(results, indent=2))
    return int(any(result["faults"] for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
