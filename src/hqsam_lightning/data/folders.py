"""The entries of a folder of photos or masks, sorted by the endings of their names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hqsam_lightning.data.catalogue import Source
from hqsam_lightning.data.names import matching_ending, normal_form, refuse_unusable
from hqsam_lightning.errors import DataError


@dataclass
class Folder:
    """The names of a folder's entries.

    Attributes:
        path: of the folder.
        files: names of the files by their ending, of those that were asked for.
        others: names of the other files.
        folders: names of the subfolders.
        hidden: number of entries whose names begin with a dot.
    """

    path: Path
    files: dict[str, list[str]]
    others: list[str]
    folders: list[str]
    hidden: int

    @classmethod
    def scan(cls, path: Path, endings: Sequence[str]) -> Folder:
        """Lists a folder.

        Args:
            path: of the folder.
            endings: of the files to tell apart; normalised, lower-case.

        Raises:
            DataError: the folder cannot be listed.
        """
        folder = cls(path, {}, [], [], 0)
        try:
            with os.scandir(path) as entries:
                names = sorted((entry.name, entry.is_dir()) for entry in entries)
        except OSError as error:
            raise DataError(f"expected a folder of photos or masks, cannot list {path}: {error}; check it") from error
        for name, is_dir in names:
            ending = matching_ending(normal_form(name), endings)
            if name.startswith("."):
                folder.hidden += 1
            elif is_dir:
                folder.folders.append(name)
            elif ending is None:
                folder.others.append(name)
            else:
                folder.files.setdefault(ending, []).append(name)
        return folder

    def with_ending(self, *endings: str) -> list[str]:
        """Names of the files with these endings, sorted."""
        return sorted(name for ending in dict.fromkeys(endings) for name in self.files.get(ending, []))

    def folders_beside(self, other: Path) -> list[str]:
        """Subfolders, but the one that the source's other folder is in."""
        above = {other.resolve(), *other.resolve().parents}
        return [name for name in self.folders if (self.path / name).resolve() not in above]

    def by_stem(self, source: Source, endings: Sequence[str], what: str) -> dict[str, str]:
        """Names of the files with these endings, by their normalised stem.

        Raises:
            DataError: a name cannot be used, or two names have one stem.
        """
        refuse_unusable(source.name, self.path, self.with_ending(*endings))
        found: dict[str, str] = {}
        for name in self.with_ending(*endings):
            stem = _stem(name, endings)
            if stem in found:
                raise DataError(
                    f"{source.name}: two {what} share the stem {stem!r} in {self.path}: {found[stem]} and {name}; "
                    f"rename or remove one, or narrow data.catalogue.{source.name}.image_suffixes"
                )
            found[stem] = name
        return found


def _stem(name: str, endings: Sequence[str]) -> str:
    normal = normal_form(name)
    return normal[: -len(matching_ending(normal, endings) or "")]
