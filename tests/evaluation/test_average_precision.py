import contextlib
import io
import json
from pathlib import Path
from typing import Any

import cv2
import faster_coco_eval.core.mask as rle
import numpy as np
import pytest

from annotated_files import compressed
from blobs import blobs
from hqsam_lightning.evaluation.average_precision import KINDS, average_precision
from plain_average_precision import plain_values

Entry = dict[str, Any]
NAMES = ("", "50", "75", "_S", "_M", "_L")


@pytest.fixture(scope="module")
def tiny_coco(shared_data: Path) -> Entry:
    """Images, annotations as run lengths, and categories of 50 photos with five crowds."""
    content = json.loads((shared_data / "tiny_coco" / "annotations" / "instances_val2017.json").read_text())
    sizes = {each["id"]: (each["height"], each["width"]) for each in content["images"]}
    for each in content["annotations"]:
        found = rle.frPyObjects(each["segmentation"], *sizes[each["image_id"]])
        lengths = rle.merge(found) if isinstance(found, list) else found
        each["segmentation"] = {"size": lengths["size"], "counts": lengths["counts"].decode()}
    return {key: content[key] for key in ("images", "annotations", "categories")}


def perturbed(mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A mask that is shifted, eroded, dilated, or its box."""
    kind, by = rng.integers(5), int(rng.integers(1, 5))
    square = np.ones((by + 1, by + 1), np.uint8)
    if kind == 0:
        return np.roll(mask, (by, -by), axis=(0, 1))
    if kind < 3:
        return (cv2.erode, cv2.dilate)[kind - 1](mask.astype(np.uint8), square).astype(bool)
    if kind == 3:
        x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
        mask = np.zeros_like(mask)
        mask[max(0, y - by) : y + height, x : x + width + by] = True
    return mask


def detections(truth: Entry, rng: np.random.Generator) -> list[Entry]:
    """Perturbed objects, many of equal score, some twice or of another category, and random masks."""
    categories = [each["id"] for each in truth["categories"]]
    found = []
    for each in truth["annotations"]:
        mask = rle.decode(each["segmentation"]).astype(bool)
        for _ in range(rng.integers(1, 3)):
            category = rng.choice(categories) if rng.random() < 0.1 else each["category_id"]
            found.append(detection(each["image_id"], category, perturbed(mask, rng), round(rng.random(), 1)))
    for image in truth["images"]:
        mask = cv2.resize(rng.random((6, 6)), (image["width"], image["height"])) > 0.5
        found.append(detection(image["id"], rng.choice(categories), mask, round(rng.random(), 2)))
    return [found[place] for place in rng.permutation(len(found))]


def detection(image: int, category: int, mask: np.ndarray, score: float) -> Entry:
    return {"image_id": image, "category_id": int(category), "segmentation": compressed(mask), "score": score}


def one_category(entries: list[Entry]) -> list[Entry]:
    return [{**each, "category_id": 1} for each in entries]


def by_pycocotools(truth: Entry, results: list[Entry]) -> dict[str, float]:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    with contextlib.redirect_stdout(io.StringIO()):
        listed = COCO()
        listed.dataset = json.loads(json.dumps(truth))
        listed.createIndex()
        evaluation = COCOeval(listed, listed.loadRes(json.loads(json.dumps(results))), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return {f"AP{name}": value for name, value in zip(NAMES, evaluation.stats[:6], strict=True) if value != -1}


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_masks_agree_with_pycocotools(tiny_coco: Entry, class_agnostic: bool) -> None:
    truth, results = tiny_coco, detections(tiny_coco, np.random.default_rng(0))
    values = average_precision(truth, results, class_agnostic=class_agnostic)
    if class_agnostic:
        truth = {**truth, "annotations": one_category(truth["annotations"])}
        results = one_category(results)
    expected = by_pycocotools(truth, results)
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=1e-12)
    assert 0.2 < values["AP"] < 0.8
    assert len(set(expected.values())) == 6


def test_boundaries_agree_with_a_plain_implementation(tiny_coco: Entry) -> None:
    crowded = {each["image_id"] for each in tiny_coco["annotations"] if each["iscrowd"]}
    images = [each for each in tiny_coco["images"] if each["id"] in crowded] + tiny_coco["images"][:2]
    truth = some_images(tiny_coco, {each["id"]: each for each in images})
    results = detections(truth, np.random.default_rng(1))
    values = average_precision(truth, results)
    assert values == pytest.approx(plain(truth, results), abs=1e-12)
    assert values["AP"] > values["AP_B"] > values["AP_B_strict"] > 0.1
    assert list(values) == [pattern.format(name) for pattern in KINDS for name in ("", "50", "75", "_S", "_M", "_L")]


def some_images(truth: Entry, images: dict[int, Entry]) -> Entry:
    annotations = [each for each in truth["annotations"] if each["image_id"] in images]
    return {**truth, "images": list(images.values()), "annotations": annotations}


def plain(truth: Entry, results: list[Entry], federated: bool = False) -> dict[str, float]:
    return {
        pattern.format(name): value
        for pattern, ratio in KINDS.items()
        for name, value in plain_values(truth, results, ratio, federated).items()
    }


def small_truth(sizes: list[tuple[int, int]], federated: bool = False) -> Entry:
    """Smooth objects of three categories; images are not numbered in order, and one annotation has the id 0."""
    rng = np.random.default_rng(2)
    images, annotations = [], []
    for number, (height, width) in enumerate(sizes):
        image = {"id": 100 - number, "height": height, "width": width}
        if federated:
            negative, partial = rng.permutation(6)[:2] + 1
            image |= {"neg_category_ids": [int(negative)], "not_exhaustive_category_ids": [int(partial)]}
        images.append(image)
        for mask in blobs(height, width, seed=number, count=4).numpy()[:-2]:
            # category 6 is annotated nowhere
            category = int(rng.integers(1, 6))
            annotations.append(
                {
                    "id": len(annotations),
                    "image_id": image["id"],
                    "category_id": category,
                    "segmentation": compressed(mask),
                    "area": float(mask.sum()),
                    "iscrowd": 0,
                }
            )
    categories = [{"id": each, "frequency": "rrccff"[each - 1]} for each in range(1, 7)]
    return {"images": images, "annotations": annotations, "categories": categories}


@pytest.mark.parametrize("size", [(450, 600), (225, 300), (90, 120), (9, 300), (1, 80), (80, 1)], ids=str)
def test_widths_between_two_pixels_and_thin_frames(size: tuple[int, int]) -> None:
    truth = small_truth([size])
    rng = np.random.default_rng(3)
    results = [
        detection(each["image_id"], each["category_id"], np.roll(decoded(each), shift, axis=(0, 1)), rng.random())
        for each in truth["annotations"]
        for shift in ((0, 1), (2, 2))
    ]
    values = average_precision(truth, results)
    assert values == pytest.approx(plain(truth, results), abs=1e-12)


def decoded(each: Entry) -> np.ndarray:
    return rle.decode(each["segmentation"]).astype(bool)


@pytest.fixture(scope="module")
def federated() -> tuple[Entry, list[Entry]]:
    """A set by LVIS's rules, and results of which one image has 400."""
    truth = small_truth([(60, 80)] * 25, federated=True)
    rng = np.random.default_rng(4)
    results = detections(truth, rng) + detections(truth, rng)
    dot = np.zeros((60, 80), bool)
    dot[3:6, 3:6] = True
    results += [detection(90, int(rng.integers(1, 7)), dot, round(rng.random(), 2)) for _ in range(400)]
    return truth, results


def test_federated_rules_agree_with_a_plain_implementation(federated: tuple[Entry, list[Entry]]) -> None:
    truth, results = federated
    values = average_precision(truth, results, federated=True)
    assert values == pytest.approx(plain(truth, results, federated=True), abs=1e-12)
    assert len({values[name] for name in ("AP", "AP_r", "AP_c", "AP_f")}) == 4
    assert "AP_B_r_strict" in values


@pytest.mark.parametrize("key", ["neg_category_ids", "not_exhaustive_category_ids"])
def test_each_list_of_lvis_changes_the_values(federated: tuple[Entry, list[Entry]], key: str) -> None:
    truth, results = json.loads(json.dumps(federated[0])), federated[1]
    before = average_precision(truth, results, federated=True)
    for image in truth["images"]:
        image[key].extend(range(1, 7))
    assert before["AP"] != average_precision(truth, results, federated=True)["AP"]


def test_of_an_image_of_lvis_300_results_count(federated: tuple[Entry, list[Entry]]) -> None:
    truth, results = federated
    before = average_precision(truth, results, federated=True)
    assert before != average_precision(truth, results[:-400], federated=True)
    of_image = sorted((each for each in results if each["image_id"] == 90), key=lambda each: -each["score"])
    others = [each for each in results if each["image_id"] != 90]
    assert before == average_precision(truth, others + of_image[:300], federated=True)


def test_perfect_results_and_none() -> None:
    truth = small_truth([(60, 80)] * 3)
    perfect = [detection(each["image_id"], each["category_id"], decoded(each), 1.0) for each in truth["annotations"]]
    assert set(average_precision(truth, perfect).values()) == {1.0}
    assert set(average_precision(truth, []).values()) == {0.0}
    assert average_precision({**truth, "annotations": []}, perfect) == {}


def test_what_is_given_is_not_changed() -> None:
    truth = small_truth([(60, 80)])
    results = detections(truth, np.random.default_rng(5))
    before = json.dumps([truth, results])
    average_precision(truth, results, class_agnostic=True)
    assert json.dumps([truth, results]) == before
