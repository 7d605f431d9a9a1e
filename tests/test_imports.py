"""Packages import one way: none imports a later one, and a module of the lowest room imports no package above it."""

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from conftest import ROOT

SOURCE = ROOT / "src" / "hqsam_lightning"
ORDER = (
    *("errors", "cuts", "types", "seeding", "float64", "escaping", "checks", "shapes", "storage", "runtime", "config"),
    *("prompts", "data", "sam", "heads", "losses", "metrics", "evaluation"),
    *("overrides", "help", "schema", "recipe", "run_names", "cli"),
    *("training", "pretraining", "search", "reporting", "inference", "interactive", "prediction", "export"),
)
"""Packages and shared modules, those that others build on first; what is not named is an entry point, on top of all."""
OFFENDERS = frozenset[tuple[str, str]]()
"""Imports of a later package that are still to be removed; no other may join them."""


def room_of(module: str) -> str:
    """First part of a module's name below the package."""
    return module.split(".")[1] if "." in module else ""


def imports_of(source: Path) -> Iterator[tuple[str, str, str]]:
    """Importing room, imported room, and where, of every import between two rooms of the package at `source`."""
    name = source.name
    for path in sorted(source.rglob("*.py")):
        inside = path.relative_to(source)
        # a package's __main__ is an entry point too
        room = "__main__" if path.name == "__main__.py" else inside.parts[0].removesuffix(".py")
        for node in ast.walk(ast.parse(path.read_text())):
            modules: list[str] = []
            if isinstance(node, ast.Import):
                modules = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules = [f"{name}.{alias.name}" for alias in node.names] if node.module == name else [node.module]
            for module in modules:
                if module.startswith(f"{name}.") and room_of(module) != room and exists(source, room_of(module)):
                    yield room, room_of(module), f"{inside}:{node.lineno}"


def exists(source: Path, room: str) -> bool:
    return (source / room).is_dir() or (source / f"{room}.py").is_file()


def upward(source: Path) -> dict[tuple[str, str], list[str]]:
    """The imports of a later room, with their places."""
    rank = {room: number for number, room in enumerate(ORDER)}
    found: dict[tuple[str, str], list[str]] = {}
    for room, imported, place in imports_of(source):
        if rank.get(room, len(ORDER)) < rank.get(imported, len(ORDER)):
            found.setdefault((room, imported), []).append(place)
    return found


def cycle_of(graph: Mapping[str, set[str]]) -> list[str]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_no_package_imports_a_later_one() -> None:
    found = upward(SOURCE)
    assert {edge: places for edge, places in found.items() if edge not in OFFENDERS} == {}
    assert found.keys() & OFFENDERS == OFFENDERS, "no longer offends: shorten the list"


def test_there_is_no_cycle_between_rooms() -> None:
    graph: dict[str, set[str]] = {}
    for room, imported, _ in imports_of(SOURCE):
        # the package's own module re-exports api.py
        if room != "__init__" and (room, imported) not in OFFENDERS:
            graph.setdefault(room, set()).add(imported)
    assert cycle_of(graph) == []


def test_every_room_of_the_order_exists() -> None:
    assert [room for room in ORDER if not exists(SOURCE, room)] == []
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms <= set(ORDER)


@pytest.mark.parametrize(
    "line",
    [
        "from pack.training import x",
        "import pack.training.x",
        "from pack import training",
        "def f():\n  import pack.training",
    ],
)
def test_an_import_of_a_later_package_is_found(tmp_path: Path, line: str) -> None:
    for room in ("data", "training"):
        (tmp_path / "pack" / room).mkdir(parents=True)
    (tmp_path / "pack" / "data" / "x.py").write_text(line)
    assert list(upward(tmp_path / "pack")) == [("data", "training")]
    assert cycle_of({"data": {"training"}, "training": {"data"}})
