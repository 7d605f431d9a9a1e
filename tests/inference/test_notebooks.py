"""The calls of segment-anything's two notebooks run with the import changed alone, and give the same masks."""

from types import ModuleType

import numpy as np
import pytest
import segment_anything
import torch
from segment_anything.utils.transforms import ResizeLongestSide
from skimage import data

from hqsam_lightning import inference
from hqsam_lightning.errors import PromptError
from hqsam_lightning.inference import HQSam, SamPredictor
from hqsam_lightning.inference.square_frame import SquareFrame
from hqsam_lightning.sam import FrozenSam

PHOTOS = ("astronaut", "coffee", "chelsea")


def prompts_of(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two boxes, and a point on the object and one off it."""
    height, width = image.shape[:2]
    boxes = np.array([[0.1, 0.2, 0.7, 0.9], [0.3, 0.1, 0.9, 0.6]]) * [width, height, width, height]
    return boxes, np.array([[0.5, 0.5], [0.1, 0.9]]) * [width, height], np.array([1, 0])


def predictor_notebook(package: ModuleType, sam: torch.nn.Module, image: np.ndarray) -> list[np.ndarray]:
    """Masks of one prompt after another, of several boxes, and of two images in one call."""
    boxes, points, labels = prompts_of(image)
    sam.to(device="cpu")
    predictor = package.SamPredictor(sam)
    predictor.set_image(image)
    several, scores, logits = predictor.predict(point_coords=points[:1], point_labels=labels[:1], multimask_output=True)
    best = logits[np.argmax(scores), :, :]
    refined, _, _ = predictor.predict(
        point_coords=points, point_labels=labels, mask_input=best[None, :, :], multimask_output=False
    )
    boxed, _, _ = predictor.predict(point_coords=None, point_labels=None, box=boxes[0][None, :], multimask_output=False)
    both, _, _ = predictor.predict(
        point_coords=points[1:], point_labels=labels[1:], box=boxes[0], multimask_output=False
    )
    moved = predictor.transform.apply_boxes_torch(torch.tensor(boxes, device=predictor.device), image.shape[:2])
    together, _, _ = predictor.predict_torch(
        point_coords=None, point_labels=None, boxes=moved.float(), multimask_output=False
    )
    resize = ResizeLongestSide(sam.image_encoder.img_size)
    records = [
        {
            "image": torch.as_tensor(resize.apply_image(each), device=sam.device).permute(2, 0, 1).contiguous(),
            "boxes": resize.apply_boxes_torch(torch.tensor(boxes).float(), each.shape[:2]),
            "original_size": each.shape[:2],
        }
        for each in (image, image[: len(image) // 2])
    ]
    batched = sam(records, multimask_output=False)
    assert list(batched[0]) == ["masks", "iou_predictions", "low_res_logits"]
    found = [several, refined, boxed, both, together, *(each["masks"] for each in batched)]
    return [np.asarray(masks).reshape(-1, *masks.shape[-2:]) for masks in found]


def generator_notebook(package: ModuleType, sam: torch.nn.Module, image: np.ndarray) -> list[np.ndarray]:
    """Everything, with fewer points than the notebook's and no bound on the scores of random weights."""
    generator = package.SamAutomaticMaskGenerator(
        model=sam,
        points_per_side=4,
        pred_iou_thresh=-100,
        stability_score_thresh=0.0,
        crop_n_layers=1,
        crop_n_points_downscale_factor=2,
        min_mask_region_area=100,
    )
    keys = ["segmentation", "area", "bbox", "predicted_iou", "point_coords", "stability_score", "crop_box"]
    records = generator.generate(image)
    assert records
    assert all(list(record) == keys for record in records)
    return [record["segmentation"][None] for record in records]


def iou(one: np.ndarray, other: np.ndarray) -> float:
    """Smallest of masks (M, H, W); that of two empty masks is 1."""
    assert one.shape == other.shape
    assert one.dtype == other.dtype == bool
    common, either = ((one & other).sum((1, 2)), (one | other).sum((1, 2)))
    return float(np.where(either > 0, common / np.maximum(either, 1), 1.0).min())


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("notebook", [predictor_notebook, generator_notebook])
def test_notebooks_of_segment_anything_give_the_same_masks(notebook, tiny_sam: FrozenSam, name: str) -> None:
    image = getattr(data, name)()
    theirs = notebook(segment_anything, tiny_sam.sam, image)
    ours = notebook(inference, HQSam(tiny_sam), image)
    assert min(iou(one, other) for one, other in zip(ours, theirs, strict=True)) >= 0.999


@pytest.fixture(scope="module")
def nano() -> HQSam:
    return HQSam.from_pretrained("nano")


@pytest.mark.parametrize("crop", [np.s_[:], np.s_[:150, :300]], ids=["whole", "2:1"])
@pytest.mark.parametrize("name", PHOTOS)
def test_a_tensor_has_the_masks_of_the_array(nano: HQSam, name: str, crop: slice) -> None:
    image = getattr(data, name)()[crop]
    boxes, points, labels = prompts_of(image)
    published = segment_anything.SamPredictor(nano.sam.sam)
    published.set_image(image)
    ours = SamPredictor(nano)
    tensor = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()
    ours.set_torch_image(ours.transform.apply_image_torch(tensor), image.shape[:2])
    for prompt in ({"box": boxes[0]}, {"point_coords": points, "point_labels": labels}):
        for multimask in (False, True):
            mine, theirs = (each.predict(**prompt, multimask_output=multimask)[0] for each in (ours, published))
            assert iou(mine, theirs) >= 0.999


def test_a_tensor_of_whole_numbers_is_resized_as_its_array() -> None:
    images = np.stack([data.chelsea()[:200], data.coffee()[:200, :451]])
    frame = SquareFrame(256)
    expected = np.stack([frame.apply_image(image) for image in images])
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2)
    for given in (tensor, tensor.float(), tensor.double()):
        resized = frame.apply_image_torch(given)
        assert resized.dtype == given.dtype
        assert np.array_equal(resized.permute(0, 2, 3, 1).numpy(), expected)
    between = frame.apply_image_torch(tensor + 0.25)
    assert between.shape == resized.shape
    assert 0 < (between - 0.25 - resized).abs().max() < 1


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"image": torch.zeros(3, 32, 32)}, r"batched_input\[0\]: .* longest side of 64; got \(3, 32, 32\)"),
        ({"image": np.zeros((3, 64, 64))}, "got ndarray"),
        ({}, "got NoneType"),
        ({"image": torch.zeros(3, 64, 64), "original_size": (8, 8)}, "prompts: expected points, boxes or masks"),
    ],
)
def test_a_record_that_cannot_be_predicted_is_refused(tiny_sam: FrozenSam, record: dict, message: str) -> None:
    with pytest.raises(PromptError, match=message):
        HQSam(tiny_sam)([record], multimask_output=False)
