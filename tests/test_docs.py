"""What README and docs/ show works: Python is run, command lines are composed, pages and files are there."""

import json
import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from PIL import Image

import hqsam_lightning
from conftest import ROOT
from hqsam_lightning.config import conf_dir
from hqsam_lightning.help import COMMANDS
from hqsam_lightning.overrides import as_hydra_takes
from hqsam_lightning.train import train

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"(<!-- needs [^>]+-->\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INDENTED = re.compile(r"^ {4,}((?:python -m hqsam_lightning\.|hqsam )(?:.*\\\n)*.*)$", re.MULTILINE)
COMMAND = re.compile(r"(?:python -m hqsam_lightning\.|hqsam )(data \w+|\w+)(?![\w.])(.*)")
SETS = ("synthetic", "photos", "ecssd")
TINY = (
    *("setting=paper", "sam=tiny_random", "trainer=cpu", "trainer.max_epochs=1", "data.train_size=2"),
    *("data.val_size=1", "batch.total=2", "loader.num_workers=0", "loss.num_points=16", "~callbacks.progress_bar"),
)


def blocks(page: Path, language: str) -> list[str]:
    """Code of a page's blocks of a language, but those that need what a test does not have."""
    return [code for needs, name, code in BLOCK.findall(page.read_text()) if name == language and not needs]


def command_lines() -> Iterator[tuple[str, str, str]]:
    """Page, command and arguments of every command line, also of those that need something.

    Configs of a user's own, in docs/extending.md, have a test of their own.
    """
    for page in PAGES:
        text = page.read_text()
        shells = [code for _, name, code in BLOCK.findall(text) if name == "bash"]
        for shell in [*shells, *INDENTED.findall(text)]:
            for line in shell.replace("\\\n", " ").splitlines():
                found = COMMAND.search(line.partition("  #")[0])
                if found and not any(part in line for part in ("...", "--config-dir")):
                    yield page.name, found[1], found[2]


def first_of_sweep(override: str) -> str:
    parsed = OverridesParser.create().parse_override(override)
    if not parsed.is_sweep_override():
        return override
    return f"{parsed.get_key_element()}={next(iter(parsed.sweep_string_iterator()))}"


@pytest.mark.parametrize(("page", "command", "arguments"), sorted(set(command_lines())))
def test_command_lines_are_composed(page: str, command: str, arguments: str) -> None:
    assert command in COMMANDS, page
    overrides = [first_of_sweep(text) for text in shlex.split(arguments) if not text.startswith("-")]
    if command in ("train", "precompute"):
        hqsam_lightning.compose(overrides)
        return
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config_name = command.replace(" ", "_")
        compose(config_name, overrides=as_hydra_takes(overrides, config_name, conf_dir()))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs") / "run"
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        train(compose("train", overrides=[*TINY, f"paths.output_dir={folder}"]))
    return folder


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=lambda page: page.stem)
def test_python_runs(page: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The blocks of a page follow one another, in a folder with a run and a photo, and nothing else is defined."""
    monkeypatch.chdir(tmp_path)
    Path("RUN").symlink_to(run)
    Image.fromarray(np.full((320, 420, 3), 90, np.uint8)).save("photo.jpg")
    names: dict[str, Any] = {}
    for code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), names)
    assert len(names["masks"])


def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cells = json.loads((ROOT / "docs" / "your_photos.ipynb").read_text())["cells"]
    names: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), "your_photos.ipynb", "exec"), names)
    assert {"sam", "hq"} <= set(names["rows"].variant)
    assert names["masks"].any()
    assert (tmp_path / "my_head" / "model.safetensors").is_file()


def test_the_model_zoo_is_made_from_files() -> None:
    path = ROOT / "docs" / "model_zoo.py"
    zoo = runpy.run_path(str(path))
    tables = zoo["tables"]()
    assert set(re.findall(r"\{\{ (\w+) \}\}", path.with_suffix(".md").read_text())) == set(tables)
    # the card of the head was written by the run that trained it
    card = zoo["SHIPPED"].with_name("README.md").read_text()
    for model, output in (("nano", "sam | sam"), ("hq_nano", "hq | sum"), ("hq_nano, output=hq", "hq | hq")):
        rows = {name: re.search(rf"\| {re.escape(output)} \| {name} \| box \| (\S+) \| (\S+) ", card) for name in SETS}
        scenes, photos, ecssd = (f"{found[1]} / {found[2]}" for found in rows.values() if found)
        row = rf"\| {re.escape(model)} \| {scenes} \| \S+ / \S+ \| {photos} \| {ecssd} \|"
        assert re.search(row, tables["shipped_scores"])
    assert "| hq_vit_l | 89.1 / 81.8 |" in tables["published_scores"]
    assert not re.search(r"[\"' =]/\w+/", zoo["SHIPPED"].read_text()), "a path of a machine"


def test_pages_and_files_are_there() -> None:
    pages = {page.stem for page in PAGES if page.parent.name == "docs"} - {"index"}
    listed = re.findall(r"^(\w+)$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(pages)
    for page in PAGES:
        for path in re.findall(r"\]\(([^)#:]+)\)", page.read_text()):
            assert (page.parent / path).exists(), f"{page.name}: {path}"
