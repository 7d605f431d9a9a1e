"""What a user typed for a run: the command that gives it again, and names made of it."""

from __future__ import annotations

import hashlib
import shlex
import sys
from datetime import datetime, timezone

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode

NOT_NAMED = (
    "name",
    "ckpt_path",
    "paths",
    "hydra",
    "loader",
    "process",
    "callbacks",
    "logger",
    "debug",
    "experiment",
    "sweep",
)
"""Keys whose overrides leave a run's name as it is."""
LONGEST_NAME = 120
LONGEST_TAG = 64
DIGEST_DIGITS = 6


def task_overrides() -> list[str]:
    """The overrides of this run, also where it is one trial of a multirun; none where Hydra did not start it."""
    return list(HydraConfig.get().overrides.task) if HydraConfig.initialized() else []


def chosen_experiments() -> list[str]:
    """Names of the experiments that the command line chose; none where Hydra did not start the run."""
    chosen = [text.partition("=")[2] for text in task_overrides() if text.lstrip("+").startswith("experiment=")]
    return [name.strip(" '\"") for text in chosen for name in text.strip("[]").split(",")]


def is_multirun() -> bool:
    """Whether this run is one of a multirun."""
    return HydraConfig.initialized() and HydraConfig.get().mode == RunMode.MULTIRUN


def own_command(module: str) -> str:
    """The command that gives this run alone, quoted for a shell.

    Args:
        module: that is run with ``python -m``.
    """
    arguments = sys.argv[1:]
    if is_multirun():
        arguments = task_overrides()
    return shlex.join(["python", "-m", module, *arguments])


def command_facts(module: str) -> dict[str, str]:
    """The command that gives this run alone, see `own_command`, and the date."""
    return {"command": own_command(module), "date": datetime.now(timezone.utc).strftime("%Y-%m-%d")}


def run_name(name: str, seed: int, overrides: list[str]) -> str:
    """Such as "quickstart lr=0.001 seed=43"; one that is cut has a digest of the whole, so that names stay distinct.

    Args:
        name: of the experiment.
        seed: of the run.
        overrides: of the run; those that only say where and how it runs are left out.
    """
    given = {}
    for text in overrides:
        key, _, value = text.lstrip("+~").partition("=")
        if key.split("@")[0].split(".")[0] not in NOT_NAMED and key != "seed":
            given[key] = value
    ends = [key.rsplit(".", 1)[-1] for key in given]
    parts = [
        f"{end if ends.count(end) == 1 else key}={value}" for end, (key, value) in zip(ends, given.items(), strict=True)
    ]
    seeded = f"seed={seed}"
    shown = " ".join([name, *parts])
    if len(shown) + len(seeded) >= LONGEST_NAME:
        digest = hashlib.sha256(shown.encode()).hexdigest()[:DIGEST_DIGITS]
        seeded = f"... {digest} {seeded}"
        shown = shown[: LONGEST_NAME - len(seeded) - 1]
    return f"{shown} {seeded}"


def run_tags() -> list[str]:
    """Choices that runs are found by: the experiment, the SAM and the data; none where Hydra did not start the run."""
    if not HydraConfig.initialized():
        return []
    choices = HydraConfig.get().runtime.choices
    tags = [f"{group}: {choices[group]}" for group in ("experiment", "sam", "data") if choices.get(group)]
    return [tag[:LONGEST_TAG] for tag in tags]
