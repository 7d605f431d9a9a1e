"""Unpacks zip archives of photos and masks: no path leaves the folder, no size is unbounded, no file is replaced."""

from __future__ import annotations

import stat
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from hqsam_lightning.data.names import is_usable
from hqsam_lightning.data.problems import raise_problems, shown
from hqsam_lightning.errors import DataError
from hqsam_lightning.runtime.progress import track
from hqsam_lightning.storage.files import UNREADABLE, replacing, require_regular_file

MAX_FILES = 2_000_000
MAX_FILE_BYTES = 2**30
MAX_RATIO = 20
"""Limits of an archive: entries, bytes of a file, and bytes unpacked per byte of the archive; photos hardly shrink."""
DOCUMENTS = (".pdf", ".txt", ".md")
"""Endings of what may state the terms of use."""
REMEDY = "nothing was unpacked; download the archive again, or unpack it by hand"

_ENCRYPTED = 1
_BLOCK = 1 << 20


class Member(NamedTuple):
    """A file of an archive.

    Attributes:
        info: its entry.
        place: path that it gets, relative to the folder of the data.
    """

    info: zipfile.ZipInfo
    place: PurePosixPath


@contextmanager
def reading(path: Path) -> Iterator[zipfile.ZipFile]:
    """Opens an archive.

    Raises:
        DataError: it is missing, or damaged.
    """
    require_regular_file(path, DataError, "get it again")
    with naming_damage(path):
        archive = zipfile.ZipFile(path)
    with archive:
        yield archive


@contextmanager
def naming_damage(path: Path) -> Iterator[None]:
    """Turns what zipfile raises for a damaged archive into a `DataError`; to be put around calls of it only."""
    try:
        yield
    except UNREADABLE as error:
        reason = f"{type(error).__name__}: {error}"
        raise DataError(
            f"{path}: expected a whole zip archive, cannot read it ({reason}); download it again"
        ) from error


def choose_members(path: Path, top: str, folders: Iterable[str]) -> tuple[list[Member], int]:
    """Chooses what to unpack of an archive, all of whose entries are checked.

    Args:
        path: of the archive.
        top: folder that the archive is of, e.g. ``"DIS5K"``; its entries may begin with it or not.
        folders: to unpack, relative to the folder of the data, e.g. ``"DIS5K/DIS-VD/im"``.

    Returns:
        The files in these folders, and documents; and the number of other files.

    Raises:
        DataError: the archive is damaged, or an entry is one that no archive of photos has.
    """
    with reading(path) as archive:
        entries = [info for info in archive.infolist() if not info.is_dir()]
    problems = [f"{shown(info.filename)}: {problem}" for info in entries if (problem := _entry_problem(info))]
    if len(entries) > MAX_FILES:
        problems.append(f"expected at most {MAX_FILES} files, got {len(entries)}")
    raise_problems(str(path), problems, REMEDY)
    wanted = [PurePosixPath(folder) for folder in folders]
    members = [Member(info, _place(info.filename, top)) for info in entries]
    chosen = [member for member in members if _is_wanted(member.place, wanted)]
    raise_problems(str(path), list(_content_problems(path, chosen)), REMEDY)
    return chosen, len(members) - len(chosen)


def unpack(path: Path, members: Sequence[Member], folder: Path) -> int:
    """Writes members of an archive, each whole or not at all; files that are there already are compared and kept.

    Returns:
        The number of files written.

    Raises:
        DataError: a file that is there differs, before any is written; or a member is damaged.
        StorageError: the folder cannot be written.
    """
    missing = [member for member in members if not (folder / member.place).exists()]
    known = set(missing)
    differing = [
        f"{folder / member.place}: differs from the archive's"
        for member in members
        if member not in known and not _is_same(folder / member.place, member.info)
    ]
    raise_problems(
        str(path), differing, "nothing was unpacked; move these files away, or choose another paths.data_dir"
    )
    with reading(path) as archive:
        for member in track(missing, f"unpacking {path.name}"):
            with replacing(folder / member.place, durable=False) as file:
                for block in _blocks(archive, member.info, path):
                    file.write(block)
    return len(missing)


def _blocks(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> Iterator[bytes]:
    with naming_damage(path), archive.open(info) as content:
        while block := content.read(_BLOCK):
            yield block


def _entry_problem(info: zipfile.ZipInfo) -> str | None:
    """Describes why an entry is not one of an archive of photos; None for a valid one."""
    name = info.orig_filename
    parts = name.split("/")
    if not is_usable(name) or "\\" in name or name.startswith("/") or ".." in parts or ":" in parts[0]:
        return "expected a path of text inside of the archive's folder"
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
        return "expected a regular file, got a link or a special file"
    if info.flag_bits & _ENCRYPTED:
        return "expected a file that is not encrypted"
    if info.file_size > MAX_FILE_BYTES:
        return f"expected at most {MAX_FILE_BYTES} bytes, got {info.file_size}"
    return None


def _content_problems(path: Path, members: Sequence[Member]) -> Iterator[str]:
    total, most = sum(member.info.file_size for member in members), MAX_RATIO * path.stat().st_size
    if total > most:
        yield f"expected at most {most} bytes when unpacked ({MAX_RATIO} times the archive), got {total}"
    for place, count in Counter(member.place for member in members).items():
        if count > 1:
            yield f"{shown(str(place))}: expected one entry, got {count}"


def _place(name: str, top: str) -> PurePosixPath:
    parts = PurePosixPath(name).parts
    begins = [part.casefold() for part in parts[:2]]
    if len(begins) > 1 and begins[1] == top.casefold():
        parts = parts[1:]
    elif begins[0] != top.casefold():
        parts = (top, *parts)
    return PurePosixPath(top, *parts[1:])


def _is_wanted(place: PurePosixPath, folders: Sequence[PurePosixPath]) -> bool:
    if any(part.startswith((".", "__MACOSX")) for part in place.parts):
        return False
    return place.suffix.lower() in DOCUMENTS or any(folder in place.parents for folder in folders)


def _is_same(path: Path, info: zipfile.ZipInfo) -> bool:
    if not path.is_file() or path.stat().st_size != info.file_size:
        return False
    crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            crc = zlib.crc32(block, crc)
    return crc == info.CRC
