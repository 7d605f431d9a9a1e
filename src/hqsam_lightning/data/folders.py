"""The names of a folder's entries, by their endings and stems."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hqsam_lightning.data.catalogue import Source
from hqsam_lightning.data.names import is_usable, matching_ending, normal_form
from hqsam_lightning.data.problems import listed
from hqsam_lightning.errors import DataError


@dataclass
class Folder:
    """The names of a folder's entries.

    Attributes:
        path: of the folder.
        files: endings of the files that were asked for, by name.
        others: names of the other files.
        folders: names of the subfolders.
        hidden: number of entries whose names begin with a dot.
    """

    path: Path
    files: dict[str, str] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    hidden: int = 0

    @classmethod
    def scan(cls, path: Path, endings: Sequence[str]) -> Folder:
        """Lists a folder, in which files of these endings, normalised and lower-case, are looked for.

        Raises:
            DataError: the folder cannot be listed.
        """
        folder = cls(path)
        try:
            with os.scandir(path) as entries:
                names = sorted((entry.name, entry.is_dir()) for entry in entries)
        except OSError as error:
            raise DataError(f"expected a folder of photos or masks, cannot list {path}: {error}; check it") from error
        for name, is_dir in names:
            if name.startswith("."):
                folder.hidden += 1
            elif is_dir:
                folder.folders.append(name)
            elif ending := matching_ending(normal_form(name), endings):
                folder.files[name] = ending
            else:
                folder.others.append(name)
        return folder

    def folders_beside(self, other: Path) -> list[str]:
        """Subfolders, except the one that the source's other folder is in."""
        above = {other.resolve(), *other.resolve().parents}
        return [name for name in self.folders if (self.path / name).resolve() not in above]

    def by_stem(self, source: Source, endings: Sequence[str], what: str) -> dict[str, str]:
        """Names of the files with these endings, by their normalised stem.

        Raises:
            DataError: a name is not UTF-8, holds control characters such as line breaks, or two names have one stem.
        """
        names = [name for name, ending in self.files.items() if ending in endings]
        bad = [ascii(name) for name in names if not is_usable(name)]
        if bad:
            raise DataError(
                f"{source.name}: expected names in UTF-8 without control characters; got {len(bad)} other name(s) in "
                f"{self.path}: {listed(bad)}; rename the files"
            )
        found: dict[str, str] = {}
        for name in names:
            stem = normal_form(name)[: -len(self.files[name])]
            if stem in found:
                raise DataError(
                    f"{source.name}: two {what} share the stem {stem!r} in {self.path}: {found[stem]} and {name}; "
                    f"rename or remove one, or narrow data.catalogue.{source.name}.image_suffixes"
                )
            found[stem] = name
        return found
