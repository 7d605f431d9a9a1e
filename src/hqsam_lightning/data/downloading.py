"""Downloads the archives of published sets, and unpacks sources where the catalogue expects them."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from hqsam_lightning.data.catalogue import UNKNOWN, Source
from hqsam_lightning.data.unpacking import choose_members, unpack
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.storage.files import read_document, require_space, write_document
from hqsam_lightning.storage.hub import RemoteFile, commit_of, downloaded_bytes, fetch, list_files
from hqsam_lightning.storage.locks import claim

RECORD, KIND, VERSION = "downloads.json", "downloads", 1
"""What of a folder of data is known to be unpacked."""

log = logging.getLogger(__name__)


class Repository(NamedTuple):
    """Where archives are published.

    Attributes:
        name: ``ORG/NAME`` on the Hugging Face Hub.
        folder: of the archives.
        revision: branch, tag or commit.
    """

    name: str
    folder: str
    revision: str


class Places(NamedTuple):
    """Where things go.

    Attributes:
        data: folder of the sets.
        archives: folder of the archives.
        keep_archives: whether archives stay after they are unpacked.
    """

    data: Path
    archives: Path
    keep_archives: bool = False


def download(sources: Sequence[Source], repository: Repository, places: Places) -> dict[str, int]:
    """Downloads what is missing of the sources; the same call goes on where it was interrupted.

    Args:
        sources: of the catalogue, each in an archive that is called as the first folder of its paths.
        repository: where the archives are.
        places: where they go.

    Returns:
        The number of files written for each source that was not there.

    Raises:
        ConfigError: a source is in none of the archives.
        BusyError: another process downloads into the same folder.
        DataError: the Hub does not give an archive, or an archive is damaged or not what is expected.
        StorageError: the disk is full, or cannot be written.
    """
    with claim(places.archives, "wait for it, or set another archives"):
        written = _download(sources, repository, places)
    if not places.keep_archives:
        with suppress(OSError):  # another's files may be in it
            places.archives.rmdir()
    return written


def _download(sources: Sequence[Source], repository: Repository, places: Places) -> dict[str, int]:
    commit = commit_of(repository.name, repository.revision, DataError)
    log.info("%s: revision %s is commit %s", repository.name, repository.revision, commit)
    files = list_files(repository.name, commit, repository.folder, DataError)
    archives = {source.name: _archive_of(source, files, repository) for source in sources}
    record = _read_record(places.data)
    missing = []
    for source in sources:
        is_there = record.get(source.name) == archives[source.name].sha256 and (places.data / source.images).is_dir()
        log.info("%s%s", describe(source), " It was unpacked before, from the same archive." if is_there else "")
        missing += [] if is_there else [source]
    wanted = list(dict.fromkeys(archives[source.name] for source in missing))
    _require_space(wanted, places)
    written: dict[str, int] = {}
    for file in wanted:
        path = fetch(repository.name, commit, file, places.archives, DataError)
        for source in (each for each in missing if archives[each.name] == file):
            written[source.name] = _unpack(source, path, places.data)
            record[source.name] = file.sha256
            write_document(places.data / RECORD, KIND, VERSION, {"repository": repository.name, "sources": record})
        if not places.keep_archives:
            path.unlink()
    return written


def describe(source: Source) -> str:
    """A source with its license and terms."""
    license_ = source.license or UNKNOWN
    return f"{source.name}: {source.title or source.name}, license {license_}. {source.terms}".strip()


def require_published(sources: Sequence[Source], published: Sequence[str]) -> None:
    """Raises a `ConfigError` that says where to get the sources that are not among the published ones."""
    for source in sources:
        if source.name not in published:
            raise ConfigError(
                f"sources: expected sources of the release, {', '.join(published)}; got {source.name!r}, which is not "
                f"in it: {source.note}"
            )


def _archive_of(source: Source, files: Sequence[RemoteFile], repository: Repository) -> RemoteFile:
    top = _top(source)
    found = [file for file in files if file.name.casefold() == f"{top}.zip".casefold()]
    if len(found) != 1:
        known = ", ".join(file.path for file in files) or "no archive"
        raise ConfigError(
            f"repository={repository.name}: expected one {top}.zip in {repository.folder}, which {source.name} is in; "
            f"got {known}; set repository, folder or revision, or download the set by hand: {source.note}"
        )
    return found[0]


def _top(source: Source) -> str:
    return PurePosixPath(source.images).parts[0]


def _require_space(files: Sequence[RemoteFile], places: Places) -> None:
    """Checks for room before the first byte is downloaded; photos take what their archive does, or little more."""
    remaining = sum(file.size - downloaded_bytes(file, places.archives) for file in files)
    unpacked = sum(file.size for file in files)
    log.info("%d archives, %.2f GB to download, about as much to unpack", len(files), remaining / 1e9)
    remedy = "make room, choose another paths.data_dir or archives, or fewer sources"
    same_disk = _device(places.data) == _device(places.archives)
    require_space(places.data, unpacked + remaining * same_disk, f"paths.data_dir={places.data}", DataError, remedy)
    require_space(places.archives, remaining, f"archives={places.archives}", DataError, remedy)


def _device(folder: Path) -> int:
    return next(os.stat(path).st_dev for path in (folder, *folder.absolute().parents) if path.exists())


def _unpack(source: Source, path: Path, folder: Path) -> int:
    folders = [source.images, *([source.masks] if source.masks else [])]
    members, others = choose_members(path, _top(source), folders)
    if not any(PurePosixPath(source.images) in member.place.parents for member in members):
        raise DataError(f"{path}: expected photos in {source.images}, got none; {source.note}")
    size = sum(member.info.file_size for member in members)
    require_space(folder, size, f"paths.data_dir={folder}", DataError, "make room, and run the same command again")
    written = unpack(path, members, folder)
    counts = (source.name, len(members), written, others)
    log.info("%s: %d files, of which %d are written; %d other files of the archive are left out", *counts)
    return written


def _read_record(folder: Path) -> dict[str, str]:
    """SHA-256 of the archive that each source was unpacked from, by name."""
    path = folder / RECORD
    if not path.exists():
        return {}
    remedy = "delete the file to unpack all sources again; what is there is compared, not replaced"
    content: Mapping[str, Any] = read_document(path, KIND, VERSION, DataError, remedy)
    return dict(content["sources"])
