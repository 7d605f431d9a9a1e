"""Ends runs by signals at random moments and continues them: `python tests/robustness/kills.py --rounds 10`.

The same command is given again until it ends by itself. What it leaves then has to be what an uninterrupted run leaves:
the same weights in last.ckpt and best/*.ckpt, the same scores, the same cache, all trials of a search.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from hqsam_lightning.storage.files import content_sha256
from hqsam_lightning.training.checkpoint import read_checkpoint
from robustness.forks import preload, run, start, status

SIGNALS = {"KILL": -signal.SIGKILL, "TERM": 143, "INT": 130, "USR1": 138}
"""Signals, and the status that each ends a run by."""
TINY = (
    *("setting=paper", "sam=tiny_random", "trainer=cpu", "trainer.max_epochs=3", "trainer.check_val_every_n_epoch=2"),
    *("data.train_size=17", "data.val_size=3", "batch.total=2", "loss.num_points=64", "loader.num_workers=1"),
    *("scheduler.step_size=1", "callbacks.last.every_n_steps=1"),
)
PRETRAIN = (
    *(
        "sam=tiny_random",
        "sam.weights=random",
        "trainer=cpu",
        "trainer.max_steps=8",
        "trainer.val_check_interval=4",
        "data.train_size=64",
    ),
    *("data.val_size=3", "batch_size=2", "scheduler.warmup_steps=2", "callbacks.last.every_n_steps=1"),
    *("loader.num_workers=1", "precision=fp32"),
)
PRECOMPUTE = (
    "setting=paper",
    "sam=tiny_random",
    "trainer=cpu",
    "data.train_size=96",
    "augmentations_per_image=4",
    "loader.num_workers=1",
)
SEARCH = (
    *(
        "--multirun",
        "+sweep=optuna",
        "setting=paper",
        "sam=tiny_random",
        "trainer=cpu",
        "trainer.max_epochs=1",
        "data.train_size=6",
    ),
    *("data.val_size=2", "batch.total=2", "loss.num_points=64", "loader.num_workers=0", "hydra.sweeper.n_trials=3"),
)


@dataclass(frozen=True)
class Case:
    """A command whose interruptions are tried.

    Attributes:
        command: of `forks.COMMANDS`.
        arguments: for a folder.
        result: what a folder holds in the end, to be compared.
    """

    command: str
    arguments: Callable[[Path], list[str]]
    result: Callable[[Path], object]


def weights_and_scores(folder: Path) -> object:
    """The trained state and the choice of the best, by bytes, and every mask's scores."""
    files = sorted((folder / "checkpoints").rglob("*.ckpt"))
    states = {file.name: content_sha256(read_checkpoint(file)["state_dict"]) for file in files}
    scores = folder / "scores.csv"
    return states, scores.read_text() if scores.is_file() else None


def shards(folder: Path) -> object:
    """Bytes of every file of a cache."""
    return {file.name: file.read_bytes() for file in sorted((folder / "cache").glob("*.safetensors"))}


def trials(folder: Path) -> object:
    """States of the study's trials that count, and whether each left its results."""
    import optuna

    from hqsam_lightning.search.study import open_storage

    storage = open_storage(folder / "study.log")
    (name,) = optuna.get_all_study_names(storage)
    found = optuna.load_study(study_name=name, storage=storage).trials
    done = [trial for trial in found if trial.state.name == "COMPLETE"]
    return [(folder / "runs" / str(trial.number) / "metrics.json").is_file() for trial in done]


CASES = {
    "train": Case("train", lambda folder: [*TINY, f"hydra.run.dir={folder}"], weights_and_scores),
    "pretrain": Case("pretrain", lambda folder: [*PRETRAIN, f"hydra.run.dir={folder}"], weights_and_scores),
    "precompute": Case(
        "precompute",
        lambda folder: [*PRECOMPUTE, f"cache={folder / 'cache'}", f"hydra.run.dir={folder / 'run'}"],
        shards,
    ),
    "search": Case(
        "train",
        lambda folder: [*SEARCH, f"hydra.sweeper.study={folder / 'study.log'}", f"hydra.sweep.dir={folder / 'runs'}"],
        trials,
    ),
}


def interrupt(case: Case, folder: Path, name: str, delay: float, log: Path) -> int:
    """Starts a command, signals it after a delay, and gives the status that it ended by."""
    pid = start(case.command, case.arguments(folder), log)
    time.sleep(delay)
    try:
        if name in ("INT", "KILL"):  # a terminal's Ctrl-C, or a node that dies: all of its processes
            os.killpg(pid, getattr(signal, f"SIG{name}"))
        else:
            os.kill(pid, getattr(signal, f"SIG{name}"))
    except ProcessLookupError:
        pass
    return status(pid)


def try_case(name: str, rounds: int, seed: int, root: Path) -> dict[str, object]:
    """Interrupts one command by every signal, and compares what is left in the end."""
    case, log = CASES[name], root / f"{name}.log"
    reference = root / f"{name}_reference"
    began = time.monotonic()
    if run(case.command, case.arguments(reference), log):
        raise SystemExit(f"{name}: the uninterrupted run failed: {log.read_text()[-3000:]}")
    duration = time.monotonic() - began
    expected = case.result(reference)
    counts: dict[str, object] = {"seconds": round(duration, 1)}
    faults = []
    for kind, wanted in SIGNALS.items():
        statuses: dict[str, int] = {}
        for number in range(rounds):
            rng = random.Random(f"{name} {kind} {seed} {number}")
            folder, log = root / f"{name}_{kind}_{number}", root / f"{name}_{kind}_{number}.log"
            delay = rng.uniform(0.02, 0.95) * duration
            ended = interrupt(case, folder, kind, delay, log)
            statuses[str(ended)] = statuses.get(str(ended), 0) + 1
            if ended not in (wanted, 0):
                faults.append(f"{name} {kind} {number}: status {ended} after {delay:.2f} s; {log}")
            if ended != 0 or name in ("precompute", "search"):
                again = run(case.command, case.arguments(folder), log)
                if again and not (folder / "metrics.json").exists():  # a finished run is refused
                    faults.append(f"{name} {kind} {number}: continuing ended by {again}; {log}")
                    continue
            if case.result(folder) != expected:
                faults.append(f"{name} {kind} {number}: the results differ, after {delay:.2f} s; {log}")
        counts[kind] = statuses
        print(name, kind, statuses, flush=True)
    return {**counts, "faults": faults}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the cases, prints what was found, and gives 1 where anything differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=[], help=f"of {', '.join(CASES)}; all by default")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="kept; a temporary one by default")
    options = parser.parse_args(arguments)
    preload()
    root = options.folder or Path(tempfile.mkdtemp())
    root.mkdir(parents=True, exist_ok=True)
    results = {name: try_case(name, options.rounds, options.seed, root) for name in options.cases or CASES}
    for result in results.values():
        for fault in result["faults"]:
            print(fault)
    (root / "kills.json").write_text(json.dumps(results, indent=2))
    return int(any(result["faults"] for result in results.values()))


if __name__ == "__main__":
    sys.exit(main())
