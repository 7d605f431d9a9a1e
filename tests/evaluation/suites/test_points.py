"""Points are on and around the object, scores are means over the draws."""

import numpy as np
import pytest
import torch

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.evaluation.model import Model
from hqsam_lightning.evaluation.suites import PointSuite
from hqsam_lightning.prompts.drawn_points import DrawnPoints
from sets_of_photos import Blobs, run, setting_of


def test_points_are_where_they_belong(model: Model) -> None:
    examples = PointSuite({"blobs": Blobs()}, ["1", "5", "10+5"], draws=3).examples(setting_of(model))
    for index in range(3):
        example = examples[index]
        assert list(example.prompts) == ["1#0", *(f"{name}#{draw}" for name in ("5", "10+5") for draw in range(3))]
        for number, mask in enumerate(example.masks[:, 0] > 128 / 255):
            ys, xs = mask.nonzero(as_tuple=True)
            for name, prompts in example.prompts.items():
                coords, labels = prompts[number].point_coords, prompts[number].point_labels
                on_object = [bool(mask[int(y), int(x)]) for x, y in coords]
                assert on_object == labels.bool().tolist()
                positive, _, negative = name.partition("#")[0].partition("+")
                assert (labels == 1).sum() == int(positive)
                assert (labels == 0).sum() == int(negative or 0)
                assert len({*map(tuple, coords.tolist())}) == len(coords)
                off = coords[labels == 0]
                width, height = (axis.max() - axis.min() + 1 for axis in (xs, ys))
                assert ((off[:, 0] >= xs.min() - width / 2 - 1) & (off[:, 0] <= xs.max() + width / 2 + 1)).all()
                assert ((off[:, 1] >= ys.min() - height / 2 - 1) & (off[:, 1] <= ys.max() + height / 2 + 1)).all()
        draws = [example.prompts[f"5#{draw}"][0].point_coords for draw in range(3)]
        assert not torch.equal(draws[0], draws[1])
        assert not torch.equal(draws[1], draws[2])


def test_a_score_is_the_mean_over_draws(model: Model) -> None:
    """Draw by draw it is the same suite with that draw's points."""
    setting = setting_of(model)
    whole, _ = run(PointSuite({"blobs": Blobs()}, ["1", "5"], draws=3), model, setting)
    assert list(dict.fromkeys(whole["prompts"])) == ["1 point", "5 points"]
    parts = []
    for draw in range(3):
        suite = PointSuite({"blobs": Blobs()}, ["5"], draws=3)
        suite.prompts = {"5": [suite.prompts["5"][draw]]}
        parts.append(run(suite, model, setting)[0]["value"].to_numpy())
    assert np.ptp(parts, axis=0).max() > 0
    found = whole[whole["prompts"] == "5 points"]["value"].to_numpy()
    np.testing.assert_allclose(found, np.mean(parts, axis=0), atol=1e-6)


def test_small_objects_have_as_many_points_as_pixels() -> None:
    mask = torch.zeros(1, 8, 8)
    mask[0, 2, 2:4] = 1
    prompt = DrawnPoints(5).draw(mask, 16, np.random.default_rng(0))
    assert sorted(prompt.point_coords.tolist()) == [[2.0, 2.0], [3.0, 2.0]]


@pytest.mark.parametrize("points", [["0"], ["5+"], ["five"], [], ["-1"]])
def test_other_numbers_are_refused(points: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"^suite\.points: expected"):
        PointSuite({"blobs": Blobs()}, points)


def test_draws_are_one_line_of_the_table(model: Model) -> None:
    table, _ = run(PointSuite({"blobs": Blobs(1)}, ["1", "3+2"], draws=2), model, setting_of(model))
    lines = table.groupby(["prompts", "metric", "variant", "output"]).size()
    assert lines.tolist() == [1] * (2 * 2 * len(model.rows))
