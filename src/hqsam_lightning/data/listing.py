"""Lists the photos and masks of a source, and counts what is left out and why.

A photo's stem is its name without the image suffix, a mask's its name without the mask suffix; where a name has several
of these endings, the longest one counts. The masks of the photo ``x.jpg`` are

1. ``x.png``: one mask, or
2. ``x_0.png``, ``x_1.png``, ...: several masks, in the order of their numbers, unless ``x_0`` is a photo itself, or
3. every mask in the folder ``x``: several masks.

Stems are compared in composed Unicode (NFC).
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from hqsam_lightning.data.catalogue import MissingDataError, Source
from hqsam_lightning.data.folders import Folder
from hqsam_lightning.data.names import in_order, normal_form, split_number
from hqsam_lightning.data.problems import listed
from hqsam_lightning.errors import DataError


class Pair(NamedTuple):
    """A photo and its masks.

    Attributes:
        photo: path.
        masks: paths, at least one.
        stem: the photo's name in its source, which ends its sample id.
    """

    photo: Path
    masks: tuple[Path, ...]
    stem: str

    @classmethod
    def of(cls, photo: Path, *masks: Path) -> Pair:
        """A pair whose stem is the photo's."""
        return cls(photo, masks, normal_form(photo.stem))


@dataclass
class Listing:
    """The content of a source's folders.

    Attributes:
        pairs: sorted by the photos' names.
        other_files: names that end neither as photos nor as masks.
        folders: subfolders that are not read.
        strays: masks without a photo.
        hidden: number of hidden files and folders.
        excluded: number of pairs that the source's config leaves out.
        unmasked: photos without a mask.
        unmasked_problem: describes them, and what to do.
    """

    pairs: list[Pair]
    other_files: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    hidden: int = 0
    excluded: int = 0
    unmasked: list[Path] = field(default_factory=list)
    unmasked_problem: str = ""

    @property
    def photos(self) -> int:
        """Number of photos, with those that are excluded or have no mask."""
        return len(self.pairs) + self.excluded + len(self.unmasked)

    @property
    def lost(self) -> bool:
        """Whether something was left out that may have been meant to be read."""
        return bool(self.other_files or self.folders or self.strays)

    def describe(self) -> str:
        """Describes how many photos there are, how many are used, and what was left out and why."""
        parts = [
            (len(self.other_files), "files of other endings", _endings(self.other_files)),
            (len(self.folders), "subfolders, whose contents are not read", listed(self.folders)),
            (len(self.strays), "masks without a photo", listed(self.strays)),
            (self.excluded, "excluded by the config", ""),
            (len(self.unmasked), "photos without a mask", listed([photo.name for photo in self.unmasked])),
            (self.hidden, "hidden files", ""),
        ]
        left_out = [f"{text}: {count}{names and f' ({names})'}" for count, text, names in parts if count]
        masks = sum(len(pair.masks) for pair in self.pairs)
        found = f"photos found: {self.photos}, used: {len(self.pairs)}, mask files: {masks}"
        return f"{found}; left out: {', '.join(left_out) or 'nothing'}"


def list_source(source: Source, data_dir: Path) -> Listing:
    """Lists a source's photos with their masks; its folders are relative to data_dir, or absolute, or begin with ``~``.

    Raises:
        MissingDataError: a folder is absent, or holds no photo.
        DataError: two files of one stem, files that could be photos or masks, masks of one photo in two layouts,
            unusable names, or an excluded stem that no photo has.
    """
    root = data_dir.expanduser()
    image_dir = root / Path(source.images).expanduser()
    mask_dir = image_dir if source.masks is None else root / Path(source.masks).expanduser()
    for key, folder in (("images", image_dir), ("masks", mask_dir)):
        if not folder.is_dir():
            raise MissingDataError(f"{source.name}: {key} folder {folder} does not exist; {_how_to_get(source)}")
    endings = [normal_form(suffix).lower() for suffix in source.image_suffixes]
    mask_ending = normal_form(source.mask_suffix).lower()
    shared = image_dir.resolve() == mask_dir.resolve()
    images = Folder.scan(image_dir, [*endings, mask_ending] if shared else endings)
    masks = images if shared else Folder.scan(mask_dir, [mask_ending])
    photos = images.by_stem(source, [each for each in endings if not shared or each != mask_ending], "photos")
    if not photos and not (shared and mask_ending in images.files.values()):
        raise MissingDataError(_no_photo(source, images))
    by_photo, strays, inside = _match(source, photos, masks, mask_ending)
    if strays and shared and mask_ending in endings:
        raise DataError(_ambiguous(source, image_dir, strays))
    wanted = _without_excluded(source, photos)
    unmasked = sorted(set(wanted) - set(by_photo))
    read = [images, *([] if shared else [masks]), *inside.values()]
    subfolders = {*images.folders_beside(mask_dir), *masks.folders_beside(image_dir)} - set(inside)
    deeper = [f"{folder.path.name}/{name}" for folder in inside.values() for name in folder.folders]
    return Listing(
        pairs=sorted(
            (Pair(image_dir / name, tuple(by_photo[stem]), stem) for stem, name in wanted.items() if stem in by_photo),
            key=lambda pair: normal_form(pair.photo.name),
        ),
        other_files=[name for folder in read for name in folder.others],
        folders=sorted([*subfolders, *deeper]),
        strays=strays,
        hidden=sum(folder.hidden for folder in read),
        excluded=len(photos) - len(wanted),
        unmasked=[image_dir / wanted[stem] for stem in unmasked],
        unmasked_problem=_unmasked(source, wanted, unmasked, masks, strays) if unmasked else "",
    )


def _match(
    source: Source, photos: dict[str, str], masks: Folder, ending: str
) -> tuple[dict[str, list[Path]], list[str], dict[str, Folder]]:
    """Masks by the stem of their photo; masks without a photo; and folders that hold the masks of a photo, by name."""
    found: dict[str, list[Path]] = {}
    strays: list[str] = []
    by_number: dict[str, list[tuple[int, str]]] = {}
    for stem, name in masks.by_stem(source, [ending], "masks").items():
        numbered = split_number(stem)
        if stem in photos:
            found[stem] = [masks.path / name]
        elif numbered and numbered[0] in photos:
            by_number.setdefault(numbered[0], []).append((numbered[1], name))
        else:
            strays.append(name)
    several = [(stem, [masks.path / name for _, name in sorted(parts)]) for stem, parts in by_number.items()]
    inside: dict[str, Folder] = {}
    for name in masks.folders:
        if normal_form(name) in photos:
            folder = Folder.scan(masks.path / name, [ending])
            by_stem = folder.by_stem(source, [ending], "masks")
            if by_stem:
                inside[name] = folder
                paths = [folder.path / by_stem[stem] for stem in sorted(by_stem, key=in_order)]
                several.append((normal_form(name), paths))
    for stem, paths in several:
        if stem in found:
            raise DataError(
                f"{source.name}: expected the masks of {photos[stem]} in one layout, got {found[stem][0]} and "
                f"{paths[0]}; keep the mask of the photo's own stem, the numbered ones, or the folder, and remove the "
                "others"
            )
        found[stem] = paths
    return found, strays, inside


def _without_excluded(source: Source, photos: dict[str, str]) -> dict[str, str]:
    excluded = {normal_form(stem) for stem in source.exclude}
    unknown = sorted(excluded - set(photos))
    if unknown:
        raise DataError(
            f"{source.name}: data.catalogue.{source.name}.exclude names {unknown[0]!r}, which no photo of "
            f"{source.images} is called; take it out of the list"
        )
    wanted = {stem: name for stem, name in photos.items() if stem not in excluded}
    if photos and not wanted:
        raise DataError(
            f"{source.name}: data.catalogue.{source.name}.exclude names all {len(photos)} photos; leave at least one"
        )
    return wanted


def _no_photo(source: Source, images: Folder) -> str:
    others = [f"other files ({_endings(images.others)})"] if images.others else []
    others += [f"subfolders, which are not read ({listed(images.folders)})"] if images.folders else []
    but = f", but {' and '.join(others)}" if others else ""
    suffixes = ", ".join(source.image_suffixes)
    return f"{source.name}: folder {images.path} holds no photo ({suffixes}){but}; {_how_to_get(source)}"


def _how_to_get(source: Source) -> str:
    about = "; ".join(text.strip() for text in (source.title, source.paper, source.note) if text.strip())
    return f"set paths.data_dir, or download the set ({about})" if about else "set paths.data_dir"


def _endings(names: Sequence[str]) -> str:
    """The endings of files with their counts, e.g. ``".webp 3, .bmp 1"``."""
    counts = Counter(os.path.splitext(name)[1].lower() or "no ending" for name in names)
    return listed([f"{ending} {count}" for ending, count in counts.most_common()])


def _ambiguous(source: Source, folder: Path, names: list[str]) -> str:
    suffix = source.mask_suffix
    return (
        f"{source.name}: {len(names)} {suffix} files in {folder} could be photos or masks, e.g. {listed(names)}, "
        "because photos and masks share the folder and the suffix; move the masks to a folder of their own and set "
        f"data.catalogue.{source.name}.masks, or take {suffix} out of data.catalogue.{source.name}.image_suffixes"
    )


def _unmasked(source: Source, photos: dict[str, str], unmasked: list[str], masks: Folder, strays: list[str]) -> str:
    first = unmasked[0]
    like = [name for name in strays + masks.others if normal_form(name).startswith(first)]
    hint = f" (there is {like[0]}: does data.catalogue.{source.name}.mask_suffix fit?)" if like else ""
    shown, expected = listed([photos[stem] for stem in unmasked]), masks.path / (first + source.mask_suffix)
    return (
        f"{source.name}: {len(unmasked)} of {len(photos)} photos have no mask: {shown}; expected {expected}{hint}; "
        f"add the masks or remove the photos, or change data.catalogue.{source.name}.masks and .mask_suffix"
    )
