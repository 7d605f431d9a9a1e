"""Fills the disk at each of the files that a run writes: `python tests/robustness/full_disk.py` (root: mounts a tmpfs).

A run is tried on disks of many sizes, so that each of its files is the first one that does not fit. It has to end with
one line that names the file, older files have to be whole, and after making room the same command has to continue to
what a run on a large disk leaves.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hqsam_lightning.training.checkpoint import read_checkpoint
from robustness.forks import preload, run
from robustness.kills import CASES, Case

PAGE = 4096
LARGE = 512 * 2**20


@contextmanager
def disk(folder: Path, size: int) -> Iterator[None]:
    """A file system of so many bytes."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def sizes(folder: Path) -> list[int]:
    """Sizes of a disk on which each file of a finished run is the one that does not fit, wholly or in part."""
    files = sorted((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_mtime_ns)
    found, total = set(), 0
    for file in files:
        pages = -(-file.stat().st_size // PAGE)
        found |= {total + PAGE, total + max(1, pages // 2) * PAGE}
        total += pages * PAGE
    found |= {total + extra * PAGE for extra in (1, 4, 16, 64, 256)}
    return sorted(found)


def try_size(case: Case, folder: Path, size: int, expected: object, log: Path) -> tuple[str, list[str]]:
    """Runs on a disk of this size, then with room; gives what happened, and faults."""
    faults = []
    with disk(folder, size):
        ended = run(case.command, case.arguments(folder / "run"), log)
        first = log.read_text(errors="replace")
        if ended not in (0, 1) or "Traceback" in first:
            faults.append(f"status {ended}{', a traceback' if 'Traceback' in first else ''}: {log}")
        for checkpoint in (folder / "run" / "checkpoints").glob("*.ckpt"):
            read_checkpoint(checkpoint)
        if leftovers := [path.name for path in folder.rglob("*.part")]:
            faults.append(f"left over: {leftovers}")
        errors = [line for line in first.splitlines() if line.startswith("error: ")]
        if ended:
            subprocess.run(["mount", "-o", f"remount,size={LARGE}", folder], check=True)
            again = run(case.command, case.arguments(folder / "run"), log)
            if again:
                faults.append(f"continuing ended by {again}: {log}")
            elif case.result(folder / "run") != expected:
                faults.append(f"the results differ: {log}")
    return (errors[-1][:200] if errors else "no error"), faults


def main(arguments: Sequence[str] = sys.argv[1:]) -> int:
    """Tries the commands that are named, of `kills.CASES`; gives 1 where anything was a fault."""
    preload()
    root = Path(tempfile.mkdtemp())
    results: dict[str, list[dict[str, object]]] = {}
    for name in arguments or ("train", "precompute"):
        case, reference = CASES[name], root / f"{name}_reference"
        if run(case.command, case.arguments(reference), root / "reference.log"):
            raise SystemExit((root / "reference.log").read_text()[-3000:])
        results[name] = []
        for size in sizes(reference):
            log = root / f"{name}_{size}.log"
            said, faults = try_size(case, root / f"{name}_{size}", size, case.result(reference), log)
            results[name].append({"size": size, "error": said, "faults": faults})
            print(name, size // PAGE, "pages:", said, *faults, sep="\n  ", flush=True)
    (root / "full_disk.json").write_text(json.dumps(results, indent=2))
    print(f"results in {root}")
    return int(any(each["faults"] for tried in results.values() for each in tried))


if __name__ == "__main__":
    sys.exit(main())
