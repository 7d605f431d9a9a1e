"""Instances that boxes prompt: the masks are SAM's, the average precision that of the results file."""

import contextlib
import io
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import faster_coco_eval.core.mask as rle
import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from segment_anything.utils.transforms import ResizeLongestSide

from conftest import randomise
from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.collate import collate
from hqsam_lightning.data.framing import Pad
from hqsam_lightning.data.segmentations import encode
from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluate import evaluate
from hqsam_lightning.evaluation.average_precision import average_precision
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.scorer import Scorer
from hqsam_lightning.evaluation.suites import InstanceSuite, Setting
from hqsam_lightning.evaluation.table import WHOLE_SET, read_table
from hqsam_lightning.heads import HQHead, SamHead
from hqsam_lightning.metrics import Metric, boundary_iou, mask_iou
from hqsam_lightning.prompts import group_prompts
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.types import Prompt
from instance_files import SIZES, Entry, small_set, write_instances

IOU = Metric("mIoU", function=mask_iou)


@pytest.fixture
def files(tmp_path: Path) -> SimpleNamespace:
    return small_set(tmp_path)


def run(files: SimpleNamespace, name: str, *overrides: str) -> tuple[pd.DataFrame, Path]:
    """Evaluates the set."""
    out = files.folder / name
    paths = [f"suite.{key}={value}" for key, value in files.paths.items()]
    common = ["suite=coco", "trainer=cpu", "loader.num_workers=0", f"paths.output_dir={out}"]
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("evaluate", overrides=[*common, *paths, *overrides])
    return evaluate(config)[0], out


def written(out: Path, name: str = "coco/sam-sam.json", protocol: str = "pad") -> list[Entry]:
    return json.loads((out / "predictions" / protocol / name).read_text())


def whole(table: pd.DataFrame) -> dict[str, float]:
    """Scores of the set by metric."""
    return table[table["sample"] == WHOLE_SET].set_index("metric")["value"].to_dict()


def test_detections_are_scored_as_pycocotools_scores_the_file(files: SimpleNamespace) -> None:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    table, out = run(files, "run", "sam=nano", f"suite.boxes={files.boxes}", "batch_size=2")
    pd.testing.assert_frame_equal(read_table(out / "scores.csv"), table)
    assert set(table["prompts"]) == {"detections@pad"}
    assert set(table["sample"]) == {WHOLE_SET}
    results = written(out)
    assert sorted(each["score"] for each in results) == sorted(each["score"] for each in files.found)
    for each in files.truth["annotations"]:
        each["id"] += 1
    with contextlib.redirect_stdout(io.StringIO()):
        listed = COCO()
        listed.dataset = files.truth
        listed.createIndex()
        evaluation = COCOeval(listed, listed.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    values = whole(table)
    assert [values[name] for name in ("AP", "AP50", "AP75")] == pytest.approx(list(evaluation.stats[:3]), abs=1e-12)
    report = (out / "results.md").read_text()
    assert re.search(
        r"the whole set; prompts: detections@pad.*\| AP \| \d+\.\d \|.*\| AP50 \| \d+\.\d \|", report, re.DOTALL
    )
    # the fourth image has objects, and no box
    assert 0.3 < values["AP50"] < 0.9


def test_true_boxes_score_masks_too(files: SimpleNamespace) -> None:
    table, out = run(files, "run", "sam=nano", "protocols=[stretch]")
    pd.testing.assert_frame_equal(read_table(out / "scores.csv"), table)
    assert set(table["prompts"]) == {"ground_truth"}
    results = written(out, protocol="stretch")
    assert {each["score"] for each in results} == {1.0}
    assert len(results) == len(files.truth["annotations"])
    true = {(each["image_id"], each["category_id"]): each["segmentation"] for each in files.truth["annotations"]}
    names = {each["id"]: Path(each["file_name"]).stem for each in files.truth["images"]}
    masks = table[table["metric"] == "iou"].set_index(["sample", "mask"])["value"]
    for each in results:
        key = (each["image_id"], each["category_id"])
        expected = rle.iou([each["segmentation"]], [true[key]], [0])[0, 0]
        assert masks[f"coco/{names[key[0]]}", key[1] // 2] == pytest.approx(expected, abs=1e-12)
    assert {"iou", "boundary_iou", "AP", "AP_B_strict"} <= set(table["metric"])
    assert whole(table)["AP50"] == 1
    report = (out / "results.md").read_text()
    assert re.search(
        r"4 images, 8 masks: .*\| all \(8\) \| thin \(0\) \| solid \(8\) \|.*\| AP \| \d+\.\d \|", report, re.DOTALL
    )


@pytest.fixture(scope="module")
def heads(tiny_sam: FrozenSam) -> dict[str, Any]:
    heads = {"sam": SamHead(), "run/hq": HQHead(tiny_sam)}
    for seed, head in enumerate(heads.values()):
        randomise(head, seed)
    return {name: head.eval() for name, head in heads.items()}


def setting() -> Setting:
    metrics = {"iou": IOU, "boundary_iou": Metric("mBIoU", function=boundary_iou)}
    return Setting(Scorer(metrics, [], [], Pad(64)), {}, 16)


def scored(suite: InstanceSuite, model: Model) -> list[Entry]:
    examples = suite.examples(setting())
    batch = collate([examples[index] for index in range(len(examples))])  # type: ignore[arg-type]
    return [record for of_image in suite.score(setting(), batch, model) for record in of_image]


def test_masks_are_those_of_segment_anythings_transform(
    files: SimpleNamespace, tiny_sam: FrozenSam, heads: dict[str, Any]
) -> None:
    records = scored(InstanceSuite(["s"], **files.paths, boxes=files.boxes), Model(tiny_sam, heads, masks_at_once=3))
    transform, frame = ResizeLongestSide(64), Pad(64)
    for record, name, size in zip(records, "012", SIZES, strict=False):
        pixels = frame.pixels(np.asarray(Image.open(files.folder / f"{name}.png").convert("RGB")))
        features = tiny_sam.encode(torch.from_numpy(pixels).permute(2, 0, 1)[None])
        own = sorted((each for each in files.found if each["image_id"] == record["image"]), key=lambda e: -e["score"])
        for place, each in enumerate(own):
            x, y, width, height = each["bbox"]
            corners = np.array([[max(0, x), max(0, y), min(size[1], x + width), min(size[0], y + height)]], float)
            prompt = Prompt(box=torch.from_numpy(transform.apply_boxes(corners, size)[0]).float())
            embeddings = tiny_sam.encode_prompts(group_prompts([prompt]), torch.tensor([0]))
            for variant, output, counts in record["masks"]:
                with torch.no_grad():
                    logits = heads[variant](tiny_sam, features, embeddings).select(output)
                mask = tiny_sam.sam.postprocess_masks(logits, frame.inside(size), size)[0, 0] > 0
                different = mask.numpy() != rle.decode({"size": list(size), "counts": counts[place]}).astype(bool)
                # logits of about 0
                assert different.mean() < 0.002, (variant, output, different.sum())


def size_of(image: int) -> list[int]:
    return list(SIZES[9 - image])


def test_masks_do_not_depend_on_how_many_are_decoded_at_once(
    files: SimpleNamespace, tiny_sam: FrozenSam, heads: dict[str, Any]
) -> None:
    suite = InstanceSuite(["s"], **files.paths)
    few, all_at_once = (scored(suite, Model(tiny_sam, heads, masks_at_once=most)) for most in (3, 99))
    assert [each["image"] for each in few] == [9, 8, 7, 6]
    rows = [("sam", "sam"), ("run/hq", "hq"), ("run/hq", "sum")]
    for one, other in zip(few, all_at_once, strict=True):
        assert [(variant, output) for variant, output, _ in one["masks"]] == rows
        size = size_of(one["image"])
        for (*_, first), (*_, second) in zip(one["masks"], other["masks"], strict=True):
            for pair in zip(first, second, strict=True):
                a, b = (rle.decode({"size": size, "counts": counts}) for counts in pair)
                assert (a != b).mean() < 0.002
        assert len(one["lines"]) == len(rows) * 2 * 2


def perfect(suite: InstanceSuite, images: set[int]) -> list[Entry]:
    """Records as if each mask of some images was the true one."""
    return [
        {
            "dataset": image.dataset,
            "image": image.key,
            "masks": [["sam", "sam", [mask["counts"] for mask in image.masks]]],
            "lines": [],
        }
        for each in suite.sets.values()
        for image in each.prompted
        if image.key in images
    ]


def test_images_that_cannot_be_read_have_no_objects(files: SimpleNamespace) -> None:
    suite = InstanceSuite(["s"], **files.paths)
    assert set(whole(suite.table(setting(), perfect(suite, {9, 8}))).values()) == {1.0}


def test_images_without_a_box_have_objects(files: SimpleNamespace) -> None:
    suite = InstanceSuite(["s"], **files.paths, boxes=files.boxes)
    records = perfect(InstanceSuite(["s"], **files.paths), {9, 8, 7})
    for record in records:
        # two boxes per object, of which the second one is no hit
        ((*_, masks),) = record["masks"]
        empty = encode(np.zeros(size_of(record["image"])))
        masks[:] = [masks[0], masks[1], empty["counts"], empty["counts"]]
    values = whole(suite.table(setting(), records))
    # three of four objects of each category: 76 of 101 recalls
    assert values["AP"] == pytest.approx(76 / 101)


def test_what_cannot_be_used_is_left_out_and_named(files: SimpleNamespace) -> None:
    bad = [{**files.found[0], "score": float("nan")}, {**files.found[0], "image_id": 99}]
    Path(files.boxes).write_text(json.dumps([*bad, *files.found]))
    (files.folder / "0.png").write_bytes(b"no photo")
    options = ("sam=tiny_random", f"suite.boxes={files.boxes}")
    with pytest.raises(DataError, match=r"1 of 3 images left out: 1 problem\(s\)[^$]*0\.png"):
        run(files, "run", *options)
    results = written(files.folder / "run")
    assert {each["image_id"] for each in results} == {8, 7}
    facts = json.loads((files.folder / "run" / "metrics.json").read_text())["run"]
    assert "1 of 3 images" in facts["left_out"]
    assert "coco: 2 entries of found.json: [0]: expected a score" in facts["left_out"]
    with pytest.raises(DataError, match=r"found\.json: 2 problem\(s\); correct the entries, or set strict=false"):
        run(files, "strict", *options, "strict=true")


def test_several_sets(files: SimpleNamespace) -> None:
    for name in ("a", "b"):
        (files.folder / name).mkdir()
        write_instances(files.folder / name)
    files.paths = {"annotations": files.folder / "@name/instances.json", "images": files.folder / "@name"}
    table, out = run(files, "run", "suite=sginw", "suite.names=[b,a]", "sam=tiny_random")
    assert list(table["dataset"].drop_duplicates()) == ["b", "a"]
    assert len(written(out, "a/sam-sam.json")) == len(files.truth["annotations"])


def test_categories_and_lvis(files: SimpleNamespace) -> None:
    for image in files.truth["images"]:
        image |= {"neg_category_ids": [5] if image["id"] == 9 else [], "not_exhaustive_category_ids": []}
    files.truth["categories"].append({"id": 5})
    for category, frequency in zip(files.truth["categories"], "rfc", strict=True):
        category["frequency"] = frequency
    Path(files.paths["annotations"]).write_text(json.dumps(files.truth))
    lvis = InstanceSuite(["s"], **files.paths, federated=True)
    values = whole(lvis.table(setting(), perfect(lvis, {9, 8, 7, 6})))
    assert {"AP_r", "AP_B_f_strict"} <= set(values)
    assert set(values) <= set(lvis.metrics(setting()))
    # category 5 is absent from one image for sure; in the others nothing is known of it
    Path(files.boxes).write_text(json.dumps(files.found + [{**each, "category_id": 5} for each in files.found[::4]]))
    kept = InstanceSuite(["s"], **files.paths, boxes=files.boxes, federated=True).sets["s"].prompted
    assert [[box.category for box in image.boxes].count(5) for image in kept] == [1, 0, 0]
    agnostic = InstanceSuite(["s"], **files.paths, class_agnostic=True)
    assert {box.category for image in agnostic.sets["s"].prompted for box in image.boxes} == {1}
    assert set(whole(agnostic.table(setting(), perfect(agnostic, {9, 8, 7, 6}))).values()) == {1.0}


def test_tiny_coco_from_true_and_found_boxes(shared_data: Path, tmp_path: Path) -> None:
    """Five real photos through SAM-nano: true boxes give better masks than shifted ones."""
    folder = shared_data / "tiny_coco"
    content = json.loads((folder / "annotations" / "instances_val2017.json").read_text())
    content["images"] = content["images"][:5]
    ids = {each["id"] for each in content["images"]}
    content["annotations"] = [each for each in content["annotations"] if each["image_id"] in ids]
    found = [
        {
            **{key: each[key] for key in ("image_id", "category_id")},
            "score": 1,
            "bbox": [x + width / 4, y, width, height],
        }
        for each in content["annotations"]
        for x, y, width, height in [each["bbox"]]
    ]
    for name, value in (("instances.json", content), ("found.json", found)):
        (tmp_path / name).write_text(json.dumps(value))
    paths = {"annotations": tmp_path / "instances.json", "images": folder / "val2017"}
    files = SimpleNamespace(folder=tmp_path, paths=paths)
    values = []
    for name, boxes in (("true", "ground_truth"), ("found", tmp_path / "found.json")):
        table, out = run(files, name, "sam=nano", f"suite.boxes={boxes}")
        values.append(whole(table))
        truth = InstanceSuite(["coco"], **{key: str(value) for key, value in paths.items()}).sets["coco"].truth(ids)
        assert values[-1] == pytest.approx(average_precision(truth, written(out)), abs=1e-12)
    assert values[0]["AP"] > values[1]["AP"] > 0
