"""The paper's numbers beside ours: Kendall's tau, the pairs that are swapped, and what is missing."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT
from example_runs import CONFIG, FACTS, METRICS, make_table, with_gains
from hqsam_lightning.errors import ConfigError, DataError
from hqsam_lightning.reporting.comparison import paper_section
from hqsam_lightning.reporting.metric_facts import MetricFacts
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.paper import PaperRow, compare_order, read_paper_table
from hqsam_lightning.reporting.paper_rows import describe_agreement
from hqsam_lightning.reporting.runs import Recipe, Run

TABLE = ROOT / "experiments" / "table3_hq_features" / "table.yaml"


def test_the_shipped_table_is_read() -> None:
    rows = {row.variant: row for row in read_paper_table(TABLE)}
    assert rows["decoder_final_early"] == PaperRow("decoder_final_early", 89.1, 81.8)
    assert rows["fpn_instead_of_fusion"].mbiou is None


ROW = "rows: [{variant: a, paper: {miou: 1, mbiou: 2}"


@pytest.mark.parametrize(
    "content",
    [
        *("rows: [", "rows: 3", "x: 1", "rows: [{variant: a}]", "rows: [{variant: a, paper: b}]", "", "[1]"),
        *("rows: [{variant: a, paper: {miou: .nan, mbiou: 2}}]", "rows: [{variant: a, paper: {miou: 1, mbiou: 7e3}}]"),
        *("rows: [{variant: a, paper: {miou: .inf, mbiou: 2}}]", "rows: [{variant: a, paper: {miou: -1, mbiou: 2}}]"),
        *("rows: [{variant: [a], paper: {miou: 1, mbiou: 2}}]", f"{ROW}, costs: {{train_hours: .nan}}}}]"),
        *(
            f"{ROW}, when: {{a: {{b: 1}}}}}}]",
            f"{ROW}, when: 3}}]",
            f"{ROW}, coco: [1]}}]",
            "rows: !!python/object:a {}",
        ),
        *("\x00", "[" * 5000, "rows: *a", "rows: [1: {", f"{ROW}, 3: 4, b: 5}}]"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "table.yaml").write_text(content)
    with pytest.raises(DataError, match=r"table\.yaml: expected rows of \{variant: NAME"):
        read_paper_table(tmp_path / "table.yaml")


def test_a_variant_in_two_rows_is_refused(tmp_path: Path) -> None:
    row = "{variant: a, paper: {miou: 1, mbiou: 2}}"
    (tmp_path / "table.yaml").write_text(f"rows: [{row}, {row}]")
    with pytest.raises(DataError, match="expected rows of different names; got several of a"):
        read_paper_table(tmp_path / "table.yaml")


def test_rows_may_be_told_by_their_run_prompts_and_sets(tmp_path: Path) -> None:
    """Two runs that differ in a key, a set scored by two prompts, and numbers of the paper by set."""
    table = tmp_path / "table.yaml"
    table.write_text(
        "rows:\n"
        "- {name: low, variant: hq, when: {optimizer.lr: 0.1}, paper: {scenes: {miou: 10, mbiou: 5}}}\n"
        "- {name: high, variant: hq, when: {optimizer.lr: 0.2}, paper: {scenes: {miou: 20, mbiou: null}}}\n"
        "- {name: shaky, variant: hq, when: {optimizer.lr: 0.2}, prompts: noisy, paper: {miou: 15, mbiou: 4}}\n"
    )
    recipes = []
    for label, rate, gain in (("a", 0.1, 0.2), ("b", 0.2, 0.1)):
        scores = pd.concat([make_table(1, gain=gain), make_table(1, gain=gain / 2, prompts="noisy")])
        config = CONFIG | {"optimizer": {"lr": rate}}
        recipes.append(Recipe(label, [Run(Path("run"), FACTS, config, scores, METRICS)]))
    summary = Summary(recipes)
    lines = paper_section(summary, read_paper_table(table))
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[2:-1]] for line in lines if "|" in line
    }
    assert cells["method"] == ["paper", "scenes, HQ", "scenes, SAM + HQ"]
    assert [cells[name][0] for name in ("low", "high", "shaky")] == [
        "scenes 10.0 / 5.0",
        "scenes 20.0 / -",
        "15.0 / 4.0",
    ]
    for name, label, prompts in (("low", "a", "box"), ("high", "b", "box"), ("shaky", "b", "noisy")):
        entries = [summary.get(label, ("hq", "hq"), ("scenes", prompts), "all", metric) for metric in METRICS]
        assert cells[name][1] == " / ".join(f"{100 * entry.mean:.1f}" for entry in entries)
    (hq,) = [line for line in lines if line.startswith("- scenes, HQ:")]
    assert "does not agree" in hq
    assert "low is above high" in hq


def test_bytes_that_are_not_utf_8_are_named(tmp_path: Path) -> None:
    (tmp_path / "table.yaml").write_bytes(b"rows: [{variant: \xff}]")
    with pytest.raises(DataError, match=r"table\.yaml: expected rows of \{variant: NAME"):
        read_paper_table(tmp_path / "table.yaml")


@pytest.mark.parametrize("key", ["run", "varient"])
def test_an_unknown_key_of_a_row_is_named(tmp_path: Path, key: str) -> None:
    (tmp_path / "table.yaml").write_text(f"rows: [{{variant: a, {key}: b, paper: {{miou: 1, mbiou: 2}}}}]")
    with pytest.raises(DataError, match=f"unknown key '{key}'"):
        read_paper_table(tmp_path / "table.yaml")


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"table=.*absent\.yaml: expected a table\.yaml"):
        read_paper_table(tmp_path / "absent.yaml")


def test_tau_counts_pairs() -> None:
    rng = np.random.default_rng(0)
    paper, ours = ({str(name): value for name, value in enumerate(rng.permutation(8))} for _ in range(2))
    signs = [np.sign((paper[a] - paper[b]) * (ours[a] - ours[b])) for a, b in combinations(paper, 2)]
    agreement = compare_order(paper, ours)
    assert agreement.tau == pytest.approx(sum(signs) / len(signs))
    assert len(agreement.swapped) == signs.count(-1) > 0
    for upper, lower in agreement.swapped:
        assert paper[upper] > paper[lower]
        assert ours[upper] < ours[lower]


def test_ties_are_no_order_and_absent_rows_are_left_out() -> None:
    tied = compare_order({"a": 88.6, "b": 88.6, "c": 80.0, "gone": 1.0}, {"a": 0.5, "b": 0.6, "c": 0.4, "own": 0.9})
    assert (tied.swapped, tied.compared) == ([], 3)
    assert tied.tau == pytest.approx(2 / np.sqrt(2 * 3))
    for ours in ({}, {"a": 0.5}, {"a": 0.5, "b": 0.5, "c": 0.5}):
        assert compare_order({"a": 3.0, "b": 2.0, "c": 1.0}, ours).tau is None


def test_agreement_is_said_plainly() -> None:
    paper = {"a": 3.0, "b": 2.0, "c": 1.0}
    assert describe_agreement(compare_order(paper, paper)).startswith(
        "the order agrees with the paper's (Kendall's tau 1.00"
    )
    swapped = describe_agreement(compare_order(paper, {"a": 3.0, "b": 1.0, "c": 2.0}))
    assert swapped == (
        "the order does not agree with the paper's (Kendall's tau 0.33 over 3 rows). "
        "Here, and not in the paper, c is above b."
    )
    reversed_order = describe_agreement(compare_order({str(n): -n for n in range(5)}, {str(n): n for n in range(5)}))
    assert reversed_order.count(" is above ") == 5
    assert reversed_order.endswith("; and 5 more pairs.")
    assert describe_agreement(compare_order(paper, {"a": 1.0})) == "1 row(s) to compare, which have no order."


def make_summary(*recipes: dict[str, float]) -> Summary:
    """Recipes by label 0, 1, ...; each a gain over SAM per variant."""
    tables = [with_gains(gains) for gains in recipes]
    runs = [Run(Path("run"), FACTS, CONFIG, table, METRICS) for table in tables]
    return Summary([Recipe(str(place), [run]) for place, run in enumerate(runs)])


PAPER = [
    PaperRow("sam", 79.5, 71.1),
    PaperRow("best", 89.1, None),
    PaperRow("middle", 87.0, 80.0),
    PaperRow("gone", 1, 1),
]


def test_the_section_shows_both_numbers_and_what_is_missing() -> None:
    lines = paper_section(make_summary({"best": 0.1, "middle": 0.2}), PAPER)
    text = "\n".join(lines)
    assert "| best | 89.1 / - | " in text
    assert "| gone | 1.0 / 1.0 | missing | missing |" in text
    assert "- scenes, HQ: the order does not agree" in text
    assert "middle is above best. Missing: gone." in text


def test_metrics_are_found_by_the_papers_labels() -> None:
    """Our other metrics have no number of the paper beside them."""
    table = make_table(1, metrics=("iou", "depth", "edges"))
    metrics = {"depth": MetricFacts("mDepth"), "edges": MetricFacts("mBIoU"), "iou": MetricFacts("mIoU")}
    run = Run(Path("run"), FACTS, CONFIG, table, metrics)
    summary = Summary([Recipe("a", [run])])
    (line,) = [line for line in paper_section(summary, [PaperRow("hq", 89.1, 81.8)]) if line.startswith("| hq |")]
    miou, mbiou = (summary.get("a", ("hq", "hq"), ("scenes", "box"), "all", name).mean for name in ("iou", "edges"))
    assert line.startswith(f"| hq | 89.1 / 81.8 | {100 * miou:.1f} / {100 * mbiou:.1f} |")


def test_rows_may_come_from_several_recipes() -> None:
    lines = paper_section(make_summary({"best": 0.2}, {"middle": 0.1}), PAPER)
    assert any(
        line.startswith("- scenes, HQ: the order agrees with the paper's (Kendall's tau 1.00 over 3") for line in lines
    )


def test_a_row_in_two_recipes_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected each row of the table in one recipe; best is in 0 and 1"):
        paper_section(make_summary({"best": 0.2}, {"best": 0.1}), PAPER)


def test_costs_and_coco_stand_beside_ours(tmp_path: Path) -> None:
    """What the paper gives is shown, ours beside it, and what has no suite yet as missing."""
    table = tmp_path / "table.yaml"
    table.write_text(
        "rows:\n"
        "- {variant: sam, paper: {miou: 79.5, mbiou: 71.1}, coco: {ap_b: 33.3, ap: 48.5}}\n"
        "- {variant: hq, paper: {miou: 89.1, mbiou: 81.8}, costs: {trainable_mib: 5.1, images_per_second: 4.8}}\n"
        "- {variant: lora, paper: {miou: null, mbiou: null}, costs: {trainable_mib: 1.5}}\n"
    )
    facts = {
        "trainable_parameters": {"sam": 0, "hq": 2**20},
        "inference": {"sam": {"images_per_second": 12.5}, "hq": {"images_per_second": 12.25}},
    }
    recipe = Recipe("0", [Run(Path("run"), FACTS | facts, CONFIG, make_table(0), METRICS)])
    lines = paper_section(Summary([recipe]), read_paper_table(table))
    text = "\n".join(lines)
    assert "| sam | 79.5 / 71.1 |" in text
    assert "| 33.3 / 48.5 | missing |" in text
    assert "| hq | 5.1 | 4.0 | 4.8 | 12.2 |" in text
    assert "| lora | 1.5 | missing | - | missing |" in text


@pytest.mark.parametrize(("name", "key"), [("costs", "fps"), ("coco", "ap_c")])
def test_an_unknown_number_is_named(tmp_path: Path, name: str, key: str) -> None:
    (tmp_path / "table.yaml").write_text(f"rows: [{{variant: a, {name}: {{{key}: 1}}, paper: {{miou: 1, mbiou: 2}}}}]")
    with pytest.raises(DataError, match=rf"{name}: expected a mapping of .*; got \{{'{key}': 1\}}"):
        read_paper_table(tmp_path / "table.yaml")
