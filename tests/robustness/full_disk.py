"""Fills the disk at each of the files that a run writes: `python tests/robustness/full_disk.py` (root: mounts a tmpfs).

When a file is about to be opened for writing, the rest of its small disk is filled. The run has to end with one line
that names the file, or to do without it where results do not need it; older files have to be whole; and after making
room the same command has to continue to what a run on an empty disk leaves.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hqsam_lightning.training.checkpoint import read_checkpoint
from robustness.forks import preload, run
from robustness.kills import CASES, Case

SIZE = 24 * 2**20
FILLER = "filler"


@contextmanager
def disk(folder: Path) -> Iterator[None]:
    """A small file system."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill_at(name: str, folder: Path) -> None:
    """From now on this process fills the disk of a folder when it opens a file of this name, or its partial one."""
    filled = False

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal filled
        if event != "open" or filled or not isinstance(arguments[0], str | os.PathLike):
            return
        opened, flags = Path(arguments[0]), arguments[2]
        writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        if writes and (opened.name == name or opened.name.startswith(f".{name}.")):
            filled = True
            with suppress(OSError), (folder / FILLER).open("wb", buffering=0) as filler:
                while True:
                    filler.write(bytes(4096))

    sys.addaudithook(watch)


def try_file(case: Case, folder: Path, name: str, expected: object, log: Path) -> tuple[str, list[str]]:
    """Runs on a disk that is full when this file comes, then with room; gives what happened, and faults."""
    faults = []
    with disk(folder):
        ended = run(case.command, case.arguments(folder / "run"), log, partial(fill_at, name, folder))
        first = log.read_text(errors="replace")
        if ended not in (0, 1) or "Traceback" in first:
            faults.append(f"status {ended}{', a traceback' if 'Traceback' in first else ''}: {log}")
        if not (folder / FILLER).exists():
            faults.append("the file was not opened")
        for checkpoint in (folder / "run" / "checkpoints").glob("*.ckpt"):
            read_checkpoint(checkpoint)
        if leftovers := [path.name for path in folder.rglob("*.part")]:
            faults.append(f"left over: {leftovers}")
        lines = [line for line in first.splitlines() if "No space left" in line or line.startswith("error: ")]
        (folder / FILLER).unlink(missing_ok=True)
        if ended and (again := run(case.command, case.arguments(folder / "run"), log)):
            faults.append(f"continuing ended by {again}: {log}")
        if case.result(folder / "run") != expected:
            faults.append(f"the results differ: {log}")
    return f"status {ended}: {lines[-1][:200] if lines else 'nothing reported'}", faults


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    """Tries the commands that are named, of `kills.CASES`; gives 1 where anything was a fault."""
    preload()
    root = Path(tempfile.mkdtemp())
    results: dict[str, list[dict[str, object]]] = {}
    for command in arguments or ("train", "precompute"):
        case, reference = CASES[command], root / f"{command}_reference"
        if run(case.command, case.arguments(reference), root / "reference.log"):
            raise SystemExit((root / "reference.log").read_text()[-3000:])
        results[command] = []
        for name in sorted({path.name for path in reference.rglob("*") if path.is_file()}):
            log = root / f"{command}_{name}.log"
            ended, faults = try_file(case, root / f"{command}_{name}", name, case.result(reference), log)
            results[command].append({"file": name, "ended": ended, "faults": faults})
            print(command, name, ended, *faults, sep="\n  ", flush=True)
    (root / "full_disk.json").write_text(json.dumps(results, indent=2))
    print(f"results in {root}")
    return int(any(each["faults"] for tried in results.values() for each in tried))


if __name__ == "__main__":
    sys.exit(main())
