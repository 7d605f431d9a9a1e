"""Scores of whole sets have a line each, no interval, and stand beside the paper's of their table."""

from pathlib import Path

import numpy as np
import pytest

from example_runs import CONFIG, FACTS
from hqsam_lightning.errors import DataError
from hqsam_lightning.evaluation.table import WHOLE_SET, differences, make_table
from hqsam_lightning.reporting.comparison import paper_section
from hqsam_lightning.reporting.lines import score_lines
from hqsam_lightning.reporting.metric_facts import MetricFacts
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.paper import read_paper_table
from hqsam_lightning.reporting.runs import Recipe, Run

METRICS = {"iou": MetricFacts("mIoU"), "AP": MetricFacts("AP"), "AP_B": MetricFacts("AP_B")}
VALUES = {("sam", "sam"): (0.297, 0.173), ("hq", "hq"): (0.25, 0.2), ("hq", "sum"): (0.301, 0.185)}


def summary_with(masks: int) -> Summary:
    """One set with two scores of the whole, and some masks beside them."""
    rng = np.random.default_rng(0)
    lines = [
        ("r", *row, "uvo", WHOLE_SET, 0, "detections", metric, value, np.nan, WHOLE_SET)
        for row, pair in VALUES.items()
        for metric, value in zip(("AP", "AP_B"), pair, strict=True)
    ]
    lines += [
        ("r", *row, "uvo", f"uvo/{number}", 0, "detections", "iou", float(rng.random()), 0.1, f"uvo/{number}")
        for number in range(masks)
        for row in VALUES
    ]
    metrics = {name: facts for name, facts in METRICS.items() if masks or name != "iou"}
    return Summary([Recipe("a", [Run(Path("run"), FACTS, CONFIG, make_table(lines), metrics)])])


def test_each_metric_has_a_line() -> None:
    text = "\n".join(score_lines(summary_with(0)))
    assert "the whole set; prompts: detections." in text
    assert "| metric | sam, SAM | hq, HQ | hq, SAM + HQ |" in text
    assert "| AP | 29.7 | 25.0 | 30.1 |" in text
    assert "| AP_B | +2.7 | +1.2 |" in text
    assert "thin" not in text


def test_masks_beside_them_keep_their_own_tables_and_intervals() -> None:
    summary = summary_with(6)
    text = "\n".join(score_lines(summary))
    assert "6 images, 6 masks: 0 thin, 6 solid" in text
    assert "| method | logits | trainable parameters | all (6) |" in text
    found = differences(summary.table)
    of_masks = found[(found["metric"] == "iou") & (found["group_of_objects"] == "all")]
    assert np.isfinite(of_masks[["low", "high"]].to_numpy()).all()
    assert found[found["metric"] == "AP"][["low", "high"]].isna().to_numpy().all()


def test_the_papers_scores_stand_beside_ours(tmp_path: Path) -> None:
    table = tmp_path / "table.yaml"
    table.write_text(
        "rows:\n"
        "- {variant: sam, paper: {AP_B_strict: 8.6, AP_B: 17.3, AP: 29.7}}\n"
        "- {variant: hq, paper: {AP_B_strict: 9.9, AP_B: 18.5, AP: 30.1}}\n"
        "- {variant: other, paper: {AP: null}}\n"
    )
    text = "\n".join(paper_section(summary_with(0), read_paper_table(table)))
    assert "### uvo, SAM + HQ" in text
    assert "| hq | 9.9 / missing | 18.5 / 18.5 | 30.1 / 30.1 |" in text
    assert "| hq | 9.9 / missing | 18.5 / 20.0 | 30.1 / 25.0 |" in text
    assert text.count("| other |") == 2


def test_coco_columns_are_of_evaluations(tmp_path: Path) -> None:
    table = tmp_path / "table.yaml"
    table.write_text("rows: [{variant: hq, paper: {miou: 89.1, mbiou: 81.8}, coco: {ap_b: 34.4, ap: 49.5}}]")
    rows = read_paper_table(table)
    assert "34.4 / 49.5 | missing |" in "\n".join(paper_section(summary_with(2), rows))
    assert "34.4 / 49.5 | 18.5 / 30.1 |" in "\n".join(paper_section(summary_with(2), rows, summary_with(0)))


def test_a_score_that_is_no_share_is_named(tmp_path: Path) -> None:
    (tmp_path / "table.yaml").write_text("rows: [{variant: hq, paper: {AP: 110}}]")
    with pytest.raises(DataError, match="AP: expected"):
        read_paper_table(tmp_path / "table.yaml")
