"""Studies, results and configs."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from robustness.mutations import ODD_VALUES, damage_bytes, damage_json
from robustness.target import Target, composed


class Studies(Target):
    """A search's journal after damage."""

    inputs = 500
    space: ClassVar[list[str]] = ["optimizer.lr=tag(log,interval(1e-4,1e-2))"]

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.config = OmegaConf.to_container(composed("setting=paper", "paths.output_dir=out"), resolve=True)
        self._search(folder / "sound.log").run(Launcher())
        self.sound = (folder / "sound.log").read_bytes()

    def use(self, rng: random.Random) -> None:
        """Opens the study, and trains what it lacks."""
        path = self.folder / f"study_{rng.random()}.log"
        content = damage_bytes(self.sound, rng)
        if rng.random() < 0.5:
            lines = self.sound.splitlines()
            place = rng.randrange(len(lines))
            lines[place] = damage_json(json.loads(lines[place]), rng).encode("utf-8", "replace")
            content = b"\n".join(lines) + b"\n"
        path.write_bytes(content)
        self._search(path).run(Launcher())

    def _search(self, path: Path) -> object:
        from hqsam_lightning.search.searcher import Search

        overrides = OverridesParser.create().parse_overrides(self.space)
        return Search(str(path), "study", 4, ["boundary_iou"], 0, overrides, lambda _: self.config)


class Launcher:
    """Plays Hydra's launcher."""

    def launch(self, batch: list[list[str]], initial_job_idx: int) -> list[object]:
        """Gives a result without training."""
        return [SimpleNamespace(return_value={"boundary_iou": 0.5, "iou": 0.5})]


class Reports(Target):
    """A run's metrics.json and scores.csv after damage, sometimes as an odd program would have written them."""

    inputs = 600

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        from example_runs import make_table, write_run

        self.run = write_run(folder / "run", make_table(1))
        self.files = {name: (self.run / name).read_bytes() for name in ("metrics.json", "scores.csv")}

    def use(self, rng: random.Random) -> None:
        """Reads the run and writes the report's lines."""
        from hqsam_lightning.reporting.numbers import Summary
        from hqsam_lightning.reporting.report_files import report_lines
        from hqsam_lightning.reporting.run_folders import read_run
        from hqsam_lightning.reporting.runs import check_comparable, group_runs
        from hqsam_lightning.storage.files import content_sha256, file_sha256

        name = rng.choice(list(self.files))
        content = damage_bytes(self.files[name], rng)
        if name == "metrics.json" and rng.random() < 0.7:
            content = damage_json(json.loads(self.files[name]), rng).encode("utf-8", "replace")
        elif rng.random() < 0.7:
            lines = self.files[name].decode().splitlines()
            place = rng.randrange(len(lines))
            cells = lines[place].split(",")
            cells[rng.randrange(len(cells))] = str(rng.choice(ODD_VALUES)).replace("\ud800", "?")
            content = "\n".join([*lines[:place], ",".join(cells), *lines[place + 1 :]]).encode()
        (self.run / name).write_bytes(content)
        try:
            if rng.random() < 0.7:
                self._seal(file_sha256, content_sha256)
            runs = [read_run(self.run)]
            check_comparable(runs)
            text = "\n".join(report_lines(Summary(group_runs(runs)), None, "report", []))
            assert not re.search(r"\b(nan|inf)\b", text)
        finally:
            for each, sound in self.files.items():
                (self.run / each).write_bytes(sound)

    def _seal(self, file_sha256: Callable[[Path], str], content_sha256: Callable[[object], str]) -> None:
        """Makes the checksums those of the damaged files, where there still is something to seal."""
        path = self.run / "metrics.json"
        try:
            document = json.loads(path.read_bytes())
            document["files"]["scores.csv"] = file_sha256(self.run / "scores.csv")
            body = {key: value for key, value in document.items() if key not in ("format", "format_version", "sha256")}
            document["sha256"] = content_sha256(body)
            path.write_text(json.dumps(document))
        except (ValueError, KeyError, TypeError, AttributeError):
            return


class Configs(Target):
    """Any key of a composed config with an odd value."""

    inputs = 1500

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        names = ("quickstart", "ablate_features", "table2_token", "table13_box_noise", "figure7_visual")
        self.configs = [composed(f"+experiment={name}", f"paths.output_dir={folder}") for name in names]
        self.configs += [composed(f"data={name}", f"paths.output_dir={folder}") for name in ("coco", "sa1b", "folder")]

    def use(self, rng: random.Random) -> None:
        """Checks the config, and builds what needs neither data nor weights."""
        from hydra.utils import instantiate

        from hqsam_lightning.config import own_errors
        from hqsam_lightning.schema import check_config

        config = rng.choice(self.configs).copy()
        keys = list(leaves(OmegaConf.to_container(config, resolve=False)))
        key = rng.choice([key for key in keys if not key.startswith("paths.output_dir")])
        OmegaConf.update(config, key, rng.choice(ODD_VALUES), merge=False)
        check_config(config, "train")
        with own_errors():
            for part in (config.loss, config.prompts, *config.val_prompts.values()):
                instantiate(part)
            instantiate(config.augmentation, image_size=64)


def leaves(values: object, prefix: str = "") -> Iterator[str]:
    """Dotted keys of all values that are no mapping."""
    if not isinstance(values, dict):
        yield prefix
        return
    for key, value in values.items():
        yield from leaves(value, f"{prefix}.{key}" if prefix else str(key))
