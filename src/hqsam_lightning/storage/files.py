"""Files that this package writes and reads back: whole or absent, of a known kind and version, with a checksum.

Everything that reads a file which may be damaged, or come from another program or run, uses this module: it holds the
list of what damaged files raise, and defines the header of our files.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import pickle
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from hqsam_lightning.errors import HQSamError, StorageError

UNREADABLE: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
    csv.Error,
    pickle.UnpicklingError,
    SafetensorError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)
"""What json, csv, pickle, torch, safetensors and zipfile raise for damaged files; catch it around their calls only."""

DISK_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)
"""Numbers of an OSError that is the disk's fault, not the file's."""

FORMAT = "hqsam_lightning"


def require_regular_file(path: Path, error: type[HQSamError], remedy: str) -> None:
    """Refuses what cannot be read as a file: a pipe or a device would hang or never end.

    Raises:
        HQSamError: of the class `error`, ending with the `remedy`, when it is no regular file, or absent.
    """
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as cause:
        raise error(f"{path}: expected a file, cannot find it ({cause}); {remedy}") from cause
    if not stat.S_ISREG(mode):
        raise error(f"{path}: expected a regular file, got {_kind_of(mode)}; {remedy}")


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file atomically and durably: whole or not at all, also after a power cut; see `replacing`."""
    with replacing(path) as file:
        file.write(content)


@contextmanager
def replacing(path: Path, durable: bool = True) -> Iterator[BinaryIO]:
    """Opens a temporary file that replaces `path` at the end; its folder is made where it is missing.

    Args:
        path: of the file.
        durable: wait until the disk has the file; without, a power cut may lose it, as it may of thousands of files
            that can be made again.

    Raises:
        StorageError: the disk is full or cannot be written; a file that was there before stays as it was.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(partial, "wb") as file:
                yield file
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(partial, path)
            if durable:
                _sync_folder(path.parent)
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError into a `StorageError` that names the file; to be put around what writes it."""
    try:
        yield
    except OSError as cause:
        raise storage_error(path, cause) from cause


def require_space(folder: Path, needed: int, where: str, error: type[HQSamError], remedy: str) -> None:
    """Raises an error unless the disk of a folder, which may be missing still, has room for so many bytes.

    Args:
        folder: that is to be written.
        needed: bytes that are still to be written.
        where: what the message begins with.
        error: class of the error.
        remedy: ends the message.
    """
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(there).free
    if needed > free:
        raise error(
            f"{where}: expected {needed / 1e9:.1f} GB of free space for what is still to be written, found "
            f"{free / 1e9:.1f} GB; {remedy}"
        )


def storage_error(path: Path, cause: OSError) -> StorageError:
    """The error for a file that cannot be written."""
    return StorageError(
        f"{path}: cannot be written ({cause}); files written before are whole: make room, or the folder writable, "
        "and run the same command again"
    )


def write_document(path: Path, kind: str, version: int, body: Mapping[str, Any]) -> str:
    """Writes plain values as JSON that carries its kind, version and checksum.

    Args:
        path: of the file.
        kind: what the file is, e.g. ``"metrics"``.
        version: of this kind's layout.
        body: values of JSON without NaN or infinity; its keys are those of the file.

    Returns:
        The checksum, which serves as the document's identity.

    Raises:
        StorageError: see `replacing`.
        ValueError: the body holds NaN or infinity.
    """
    sha256 = content_sha256(json.loads(json.dumps(body, allow_nan=False)))
    header = {"format": f"{FORMAT}/{kind}", "format_version": version, "sha256": sha256}
    write_whole(path, (json.dumps({**header, **body}, indent=2, allow_nan=False) + "\n").encode())
    return sha256


def read_document(path: Path, kind: str, version: int, error: type[HQSamError], remedy: str) -> dict[str, Any]:
    """Reads the body of what `write_document` wrote.

    Raises:
        HQSamError: of the class `error`, ending with the `remedy`, when the file is missing, damaged, changed, or of
            another kind or version.
    """
    require_regular_file(path, error, remedy)
    body = body_of(path, read_json(path, error, remedy), kind, version, error, remedy)
    expected = body.pop("sha256", None)
    try:
        sha256 = content_sha256(body)
    except RecursionError as cause:
        raise error(f"{path}: its values are nested too deeply to be a file of ours; {remedy}") from cause
    if expected != sha256:
        raise error(f"{path}: its content does not match its sha256: the file was changed or damaged; {remedy}")
    return body


def body_of(path: Path, content: Any, kind: str, version: int, error: type[HQSamError], remedy: str) -> dict[str, Any]:
    """Checks the header of a document, and returns the rest; see `read_document`."""
    if not isinstance(content, dict) or content.get("format") != f"{FORMAT}/{kind}":
        found = content.get("format") if isinstance(content, dict) else type(content).__name__
        raise error(f"{path}: expected a file of format {FORMAT}/{kind}, got {found!r}; {remedy}")
    if content.get("format_version") != version:
        raise error(f"{path}: expected format_version {version}, got {content.get('format_version')!r}; {remedy}")
    return {key: value for key, value in content.items() if key not in ("format", "format_version")}


def read_json(path: Path, error: type[HQSamError], remedy: str, not_finite: bool = False) -> Any:
    """Reads a JSON file.

    Args:
        path: of the file.
        error: class of the errors.
        remedy: what to do, as the end of their messages.
        not_finite: whether NaN and infinity, which JSON does not have, are read as numbers; otherwise they are refused.

    Raises:
        HQSamError: of the class given, when the file cannot be read as JSON.
    """
    try:
        return json.loads(path.read_bytes(), parse_constant=float if not_finite else _refuse_constant)
    except UNREADABLE as cause:
        reason = f"{type(cause).__name__}: {cause}"
        raise error(f"{path}: expected JSON, cannot read it ({reason}); {remedy}") from cause


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def content_sha256(value: Any) -> str:
    """Fingerprints nested plain values, tensors and arrays: types, keys, order of lists, shapes and bytes.

    The order of a dict's keys and the container format do not matter.

    Args:
        value: dicts, lists, tuples, sets of plain values, scalars, None, `Tensor`, `np.ndarray`.
    """
    digest = hashlib.sha256()
    _feed(digest, value)
    return digest.hexdigest()


def _feed(digest: Any, value: Any) -> None:
    if isinstance(value, Mapping):
        digest.update(f"dict {len(value)}\x1f".encode())
        for key in sorted(value, key=lambda each: (type(each).__name__, repr(each))):
            _feed(digest, key)
            _feed(digest, value[key])
    elif isinstance(value, list | tuple):
        digest.update(f"list {len(value)}\x1f".encode())
        for each in value:
            _feed(digest, each)
    elif isinstance(value, set | frozenset):
        _feed(digest, sorted(value, key=repr))
    elif isinstance(value, Tensor):
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(f"tensor {value.dtype} {list(value.shape)}\x1f".encode())
        # numpy has no bfloat16: look at the bytes
        digest.update(flat.view(torch.uint8).numpy().data if flat.numel() else b"")
    elif isinstance(value, np.ndarray):
        digest.update(f"array {value.dtype} {list(value.shape)}\x1f".encode())
        digest.update(np.ascontiguousarray(value).tobytes())
    else:
        digest.update(f"{type(value).__name__} {value!r}\x1f".encode("utf-8", "surrogatepass"))


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _kind_of(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device"}
    return kinds.get(stat.S_IFMT(mode), "a special file")


def _sync_folder(folder: Path) -> None:
    """Makes a rename durable, where folders can be opened."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
