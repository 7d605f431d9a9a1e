"""Files of annotations broken at random: each is refused with a message before the run, or all its photos are read."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from annotated_files import SQUARE, compressed, image, instance, run_lengths, some_masks, write_photo
from hqsam_lightning.data.datasets import CocoInstances, Sa1b, sa1b
from hqsam_lightning.errors import HQSamError

CASES = 200
NAN, INFINITY, HUGE, DEEP = (f"<{name}>" for name in ("nan", "infinity", "huge", "deep"))
# what json.dumps cannot write, put into its text
LITERALS = {NAN: "NaN", INFINITY: "1e999", HUGE: "9" * 400, DEEP: "[" * 5000 + "]" * 5000}
VALUES = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**9, -(10**9), 0.5, 1e308, -0.0, NAN, INFINITY, HUGE, DEEP),
    *("", "x", "1", "\x00", "../0.jpg", "/0.jpg", "\ud800", "0" * 300, "ooooooo", "oooooooooooooooo0", "é"),
    *([], [[]], [None], [1, 2], [[1, 2]], [[[1, 2]]], [1e9] * 6, {}, {"size": [1, 1], "counts": [1]}, {"a": {}}),
    *({"size": [10**9, 10**9], "counts": [10**18]}, {"size": [40, 56], "counts": "P1"}, [SQUARE], [SQUARE * 50]),
]


def coco_content() -> dict[str, Any]:
    masks = some_masks(2)
    images = [image(number, f"{number}.jpg") for number in range(3)]
    del images[2]["file_name"], images[1]["height"], images[1]["width"]
    images[2]["coco_url"] = "http://x/sub/2.jpg"
    annotations = [
        instance(1, 0),
        instance(2, 1, run_lengths(masks[0]), iscrowd=1),
        instance(3, 1, compressed(masks[1])),
        instance(4, 2, [SQUARE, [1.5, 2.5, 30, 2.5, 30, 30.25]]),
        instance(5, 2, {"size": [40, 56], "counts": [40 * 56]}),
    ]
    return {"images": images, "annotations": annotations, "categories": []}


def sa1b_content() -> dict[str, Any]:
    annotations = [instance(number, 0, compressed(mask)) for number, mask in enumerate(some_masks(3))]
    annotations.append(instance(9, 0, run_lengths(some_masks(1)[0])))
    return {"image": image(1, "sa_1.jpg"), "annotations": annotations}


def places(node: Any) -> list[tuple[Any, Any]]:
    """Every (container, key or index) below a node."""
    keys = list(node) if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else []
    return [(node, key) for key in keys] + [place for key in keys for place in places(node[key])]


def mutate(content: dict[str, Any], rng: random.Random) -> bytes:
    """The content with one or two values replaced, removed, repeated or exchanged, or its text cut or changed."""
    content = copy.deepcopy(content)
    for _ in range(rng.choice((1, 1, 2))):
        all_places = places(content)
        # a list of run lengths has as many places as the rest of the file
        container, key = rng.choice([place for place in all_places if rng.random() < 0.1 or not_a_run(place)])
        how = rng.randrange(5)
        if how == 0:
            del container[key]
        elif how == 1 and isinstance(container, list):
            container.insert(key, copy.deepcopy(container[key]))
        elif how == 2:
            other, other_key = rng.choice(all_places)
            container[key] = copy.deepcopy(other[other_key])
        else:
            container[key] = copy.deepcopy(rng.choice(VALUES))
    text = json.dumps(content)
    for name, literal in LITERALS.items():
        text = text.replace(f'"{name}"', literal)
    data = bytearray(text.encode())
    if rng.random() < 0.15:
        data = data[: rng.randrange(1, len(data))]
    if rng.random() < 0.15:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


def not_a_run(place: tuple[Any, Any]) -> bool:
    return isinstance(place[0], dict) or len(place[0]) < 9


def read_all(make: Callable[[], CocoInstances | Sa1b], early: bool) -> str:
    """How it ended: refused at the start, refused when drawn (not where `early`), or read."""
    try:
        photos = make()
    except HQSamError as error:
        str(error).encode()
        return "refused"
    assert len({photo.sample_id for photo in photos.photos}) == len(photos) > 0
    try:
        samples = [photos[index] for index in range(len(photos))]
    except HQSamError:
        assert not early
        return "refused when drawn"
    assert all(sample.masks.any(axis=(1, 2)).all() for sample in samples)
    assert all(sample.masks.shape[1:] == sample.image.shape[:2] for sample in samples)
    return "read"


@pytest.mark.parametrize("check", ["quick", "full"])
def test_broken_coco_files(tmp_path: Path, check: str) -> None:
    rng = random.Random(check)
    for name in ("0.jpg", "1.jpg", "sub/2.jpg"):
        write_photo(tmp_path / name)
    path = tmp_path / "instances.json"
    ends = set()
    for _ in range(CASES):
        path.write_bytes(mutate(coco_content(), rng))
        ends.add(read_all(lambda: CocoInstances(path, tmp_path, 4, check=check), early=True))
    assert ends == {"refused", "read"}


def test_broken_sa1b_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the file is looked into when the photo is drawn, not before."""
    rng = random.Random(0)
    monkeypatch.setattr(sa1b, "QUICK_SAMPLE", 1)
    for stem in ("sa_0", "sa_1"):
        write_photo(tmp_path / f"{stem}.jpg")
        (tmp_path / f"{stem}.json").write_text(json.dumps(sa1b_content()))
    ends = set()
    for case in range(CASES):
        (tmp_path / "sa_1.json").write_bytes(mutate(sa1b_content(), rng))
        check = ("quick", "full")[case % 2]
        ends.add(read_all(lambda check=check: Sa1b(tmp_path, 4, check=check), early=check == "full"))
    assert ends == {"refused", "refused when drawn", "read"}
