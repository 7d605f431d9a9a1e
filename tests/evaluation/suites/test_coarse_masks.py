"""A coarse mask is shown as the mask prompt that training shows, beside the config's prompts."""

import pytest
import torch
from torch.nn import functional as F

from hqsam_lightning.data import DataSets
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.suites import CoarseMaskSuite
from sets_of_photos import Blobs, run, setting_of


def suite_with(coarse: Blobs, name: str = "blobs") -> CoarseMaskSuite:
    return CoarseMaskSuite({"blobs": Blobs()}, DataSets([], {name: coarse}))


def test_each_mask_is_prompted_with_its_coarse_one(model: Model) -> None:
    setting = setting_of(model)
    examples = suite_with(Blobs(shift=3)).examples(setting)
    for index, sample in enumerate(Blobs(shift=3)[place] for place in range(3)):
        prompts = examples[index].prompts
        assert list(prompts) == ["box", "coarse_mask"]
        side = setting.mask_input_size
        for mask, prompt in zip(sample.masks, prompts["coarse_mask"], strict=True):
            assert set(prompt.mask.unique().tolist()) == {0.0, 255.0}
            expected = F.interpolate(torch.from_numpy(mask)[None, None], (side, side), mode="bilinear")[0] > 0.5
            assert ((prompt.mask > 0) != expected).float().mean() < 0.05
    table, _ = run(suite_with(Blobs(shift=3)), model, setting)
    assert list(dict.fromkeys(table["prompts"])) == ["box", "coarse_mask"]
    values = table[table["metric"] == "iou"].groupby("prompts")["value"].agg(tuple)
    assert values["box"] != values["coarse_mask"]


def test_other_photos_are_refused() -> None:
    with pytest.raises(DataError, match=r"coarse mask of each of 3 photos of blobs; 1 have none, such as blobs/2"):
        suite_with(Blobs(2))
    with pytest.raises(ConfigError, match=r"^suite\.coarse\.val_sources: expected blobs, .* got other"):
        suite_with(Blobs(), name="other")


def test_another_number_of_masks_is_named(model: Model) -> None:
    class Single(Blobs):
        def __getitem__(self, index: int):
            sample = super().__getitem__(index)
            sample.masks = sample.masks[:1]
            return sample

    examples = suite_with(Single()).examples(setting_of(model))
    with pytest.raises(DataError, match=r"^blobs/1: expected as many coarse masks as masks, 2; got 1"):
        examples[1]
