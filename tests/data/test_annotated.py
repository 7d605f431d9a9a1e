"""SA-1B's and COCO's formats: masks decoded as a plain second implementation does, bad files named."""

import json
from pathlib import Path

import faster_coco_eval.core.mask as rle
import numpy as np
import pytest
from PIL import Image, ImageDraw

from hqsam_lightning.data.annotated import CocoPhotos, Sa1bPhotos
from hqsam_lightning.errors import ConfigError, DataError

HEIGHT, WIDTH = 40, 56


def some_masks(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    masks = []
    for _ in range(count):
        mask = np.zeros((HEIGHT, WIDTH), bool)
        top, left = rng.integers(0, 20, 2)
        mask[top : top + 12, left : left + 17] = True
        masks.append(mask & (rng.random(mask.shape) > 0.2))
    return masks


def run_lengths(mask: np.ndarray) -> dict:
    """COCO's uncompressed form, by hand: lengths of runs down the columns, background first."""
    flat = mask.ravel(order="F")
    counts, value, run = [], False, 0
    for pixel in flat:
        if pixel != value:
            counts.append(run)
            value, run = pixel, 0
        run += 1
    return {"size": list(mask.shape), "counts": [*counts, run]}


def compressed(mask: np.ndarray) -> dict:
    encoded = rle.encode(np.asfortranarray(mask.astype(np.uint8)))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def write_sa1b(folder: Path, masks: list[np.ndarray], form=compressed, stem: str = "sa_1") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    photo = folder / f"{stem}.jpg"
    Image.new("RGB", (WIDTH, HEIGHT), (9, 99, 199)).save(photo)
    annotations = [{"id": number, "segmentation": form(mask)} for number, mask in enumerate(masks)]
    photo.with_suffix(".json").write_text(json.dumps({"image": {"image_id": 1}, "annotations": annotations}))
    return photo


@pytest.mark.parametrize("form", [run_lengths, compressed])
def test_sa1b_masks_are_what_was_written(tmp_path: Path, form) -> None:
    masks = some_masks(3)
    write_sa1b(tmp_path / "sa_000000", masks, form)
    sample = Sa1bPhotos(tmp_path, max_masks=5)[0]
    assert sample.sample_id == "sa1b/sa_1"
    assert sample.image.shape == (HEIGHT, WIDTH, 3)
    assert sample.masks.dtype == np.float32
    assert np.array_equal(sample.masks > 0.5, np.stack(masks))


def test_many_masks_are_drawn_from_always_alike(tmp_path: Path) -> None:
    masks = some_masks(12)
    write_sa1b(tmp_path, masks)
    write_sa1b(tmp_path, masks, stem="sa_2")
    photos = Sa1bPhotos(tmp_path, max_masks=4)
    first, again, other = photos[0].masks, Sa1bPhotos(tmp_path, max_masks=4)[0].masks, photos[1].masks
    assert len(first) == 4
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert all(any(np.array_equal(mask > 0.5, known) for known in masks) for mask in first)


def test_the_first_photos_by_name(tmp_path: Path) -> None:
    for stem in ("sa_3", "sa_1", "sa_2"):
        write_sa1b(tmp_path / f"folder_of_{stem}", some_masks(1), stem=stem)
    assert [photo.stem for photo in Sa1bPhotos(tmp_path, 1, limit=2).photos] == ["sa_1", "sa_2"]


def test_a_change_of_masks_changes_the_identity(tmp_path: Path) -> None:
    write_sa1b(tmp_path, some_masks(2))
    before = Sa1bPhotos(tmp_path, 2).identify(0)
    assert before == Sa1bPhotos(tmp_path, 2).identify(0)
    assert before != Sa1bPhotos(tmp_path, 1).identify(0)
    write_sa1b(tmp_path, some_masks(3))
    assert before != Sa1bPhotos(tmp_path, 2).identify(0)


def test_coco_instances_and_polygons(shared_data: Path) -> None:
    """Polygons beside Pillow's rasteriser, which treats borders otherwise: large objects nearly agree."""
    folder = shared_data / "tiny_coco"
    path = folder / "annotations" / "instances_val2017.json"
    photos = CocoPhotos(path, folder / "val2017", max_masks=100)
    content = json.loads(path.read_text())
    real = [each for each in content["annotations"] if not each["iscrowd"]]
    assert len(photos) == len({each["image_id"] for each in real})
    compared = 0
    for index in range(10):
        sample = photos[index]
        assert sample.sample_id == f"coco/{photos.photos[index].stem}"
        own = [each for each in real if each["image_id"] == int(photos.photos[index].stem)]
        assert len(sample.masks) == len(own)
        for mask, annotation in zip(sample.masks, own, strict=True):
            if annotation["area"] < 4000:
                continue
            drawn = Image.new("1", sample.image.shape[1::-1])
            for polygon in annotation["segmentation"]:
                ImageDraw.Draw(drawn).polygon(polygon, fill=1)
            reference = np.asarray(drawn)
            assert (reference & (mask > 0)).sum() / (reference | (mask > 0)).sum() > 0.9
            compared += 1
    assert compared > 5


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.folder=.*expected SA-1B's sa_N\.jpg with sa_N\.json .*found none"):
        Sa1bPhotos(tmp_path, 1)
    photo = write_sa1b(tmp_path, some_masks(1))
    with pytest.raises(ConfigError, match=r"data\.max_masks: expected an integer >= 1; got 0"):
        Sa1bPhotos(tmp_path, 0)
    annotations = photo.with_suffix(".json")
    for text, message in (
        ("{", r"sa_1\.json: expected JSON, got a damaged file"),
        ("[]", r"sa_1\.json: expected a JSON object with lists of annotations"),
        ('{"annotations": []}', r"sa_1\.json: expected at least one annotation"),
        ('{"annotations": [{"segmentation": 3}]}', r"sa_1\.json: expected polygons or run lengths for sa_1\.jpg"),
    ):
        annotations.write_text(text)
        with pytest.raises(DataError, match=message):
            Sa1bPhotos(tmp_path, 1)[0]
    write_sa1b(tmp_path, [mask[:20] for mask in some_masks(1)])
    with pytest.raises(DataError, match=r"expected masks of sa_1\.jpg's size, height x width 40x56; got 20x56"):
        Sa1bPhotos(tmp_path, 1)[0]
    write_sa1b(tmp_path, [np.zeros((HEIGHT, WIDTH), bool)])
    with pytest.raises(DataError, match=r"sa_1\.json: expected a mask with a pixel for .*sa_1\.jpg, found none"):
        Sa1bPhotos(tmp_path, 1)[0]


def test_coco_without_instances(tmp_path: Path) -> None:
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({"images": [], "annotations": []}))
    with pytest.raises(DataError, match=r"instances\.json: expected an instance with a segmentation, found none"):
        CocoPhotos(path, tmp_path, 1)


def write_coco(folder: Path, polygons: list, **image: object) -> Path:
    """One photo of HEIGHT x WIDTH with an instance a polygon."""
    Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "a.jpg")
    annotations = [{"image_id": 1, "segmentation": [polygon]} for polygon in polygons]
    listed = {"id": 1, "file_name": "a.jpg", "height": HEIGHT, "width": WIDTH, **image}
    path = folder / "instances.json"
    path.write_text(json.dumps({"images": [listed], "annotations": annotations}))
    return path


SQUARE = [4, 4, 20, 4, 20, 20, 4, 20]


@pytest.mark.parametrize(
    ("polygons", "image", "message"),
    [
        ([SQUARE], {"height": 80}, r"expected a\.jpg with height x width 80x56 as its annotations say, got 40x56"),
        ([[4, 4, 20, 20]], {}, r"cannot decode \[\[4, 4, 20, 20\]\] \(a polygon has at least 6 numbers"),
        ([SQUARE], {"id": 7}, r"expected an image for each annotation; image_id 1 has none"),
        (
            [SQUARE],
            {"file_name": "b.jpg"},
            r"data\.images=.*expected the 1 photos that .*; 1 are missing, such as b\.jpg",
        ),
    ],
)
def test_what_does_not_belong_together_is_named(tmp_path: Path, polygons: list, image: dict, message: str) -> None:
    path = write_coco(tmp_path, polygons, **image)
    with pytest.raises(DataError, match=message):
        CocoPhotos(path, tmp_path, 1)[0]


def test_photos_that_are_missing_are_told_at_once(tmp_path: Path) -> None:
    path = write_coco(tmp_path, [SQUARE], file_name="b.jpg")
    with pytest.raises(DataError, match="1 are missing"):
        CocoPhotos(path, tmp_path, 1)


def test_masks_without_a_pixel_leave_their_place_to_others(tmp_path: Path) -> None:
    """Whatever is drawn first, the two masks with pixels are found among eight without."""
    empty = [4.1, 4.1, 4.2, 4.1, 4.2, 4.2]
    path = write_coco(tmp_path, [*[empty] * 4, SQUARE, *[empty] * 4, [30, 4, 40, 4, 40, 14]])
    masks = CocoPhotos(path, tmp_path, 2)[0].masks
    assert len(masks) == 2
    assert masks[0, 10, 10] == masks[1, 6, 36] == 1


def test_fewer_photos_than_wanted_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_sa1b(tmp_path, some_masks(1))
    assert len(Sa1bPhotos(tmp_path, 1, limit=1)) == 1
    assert not caplog.text
    assert len(Sa1bPhotos(tmp_path, 1, limit=2)) == 1
    assert "1 photos, fewer than data.limit=2" in caplog.text
