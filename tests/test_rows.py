"""Each row of an experiment differs from the others in what it claims to, and in nothing else."""

from itertools import combinations

import pytest
import torch
from hydra.types import RunMode
from omegaconf import OmegaConf

from conftest import ROOT
from hqsam_lightning.heads import Head
from hqsam_lightning.recipe import flatten
from hqsam_lightning.reporting.paper import read_paper_table
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.training.weights import build_head

TOKEN, FUSION = {"token", "mlp"}, {"fusion.final", "fusion.early", "fusion.decoder"}
# what each row learns, by the first parts of its parameters' names
LEARNS = {
    "table2_token": {
        "context_tokens_3": {"tokens"},
        "hq_token_x_output_token": TOKEN,
        "hq_token_boundary_loss": TOKEN,
        "hq_token": TOKEN,
        "hq_features_context_tokens": {"tokens", *FUSION},
        "hq_features": TOKEN | FUSION,
    },
    "ablate_features": {
        "decoder_feature_raw": TOKEN,
        "decoder_feature_conv": TOKEN | {"fusion.decoder"},
        "without_decoder_feature": TOKEN | {"fusion.final", "fusion.early"},
        "decoder_and_final": TOKEN | {"fusion.decoder", "fusion.final"},
        "decoder_and_early": TOKEN | {"fusion.decoder", "fusion.early"},
        "decoder_final_early": TOKEN | FUSION,
        "fpn_instead_of_fusion": TOKEN | FUSION | {"fusion.smooth"},
    },
    "table4_finetuning": {
        "finetune_whole_sam": {"encoder", "decoder"},
        "finetune_decoder": {"decoder"},
        "finetune_output_token": TOKEN,
        "context_tokens_3": {"tokens"},
        "trained_refiner": {"stem", "blocks", "last"},
        "hq_sam": TOKEN | FUSION,
    },
    "table9_peft": {"lora": {"encoder"}, "encoder_adapter": {"encoder"}, "hq_sam": TOKEN | FUSION},
    "figure4_recall": {"hq_token": TOKEN, "hq_features": TOKEN | FUSION},
}
# parts that two rows of one name do not share: another architecture, or SAM's own weights
UNLIKE = {("ablate_features", "fpn_instead_of_fusion", part) for part in FUSION} | {
    ("table4_finetuning", "finetune_output_token", part) for part in TOKEN
}
UNLIKE |= {("table9_peft", "lora", "encoder"), ("table4_finetuning", "finetune_whole_sam", "encoder")}
# keys that the points of a sweep differ in
SWEPT = {
    "ablate_prompts": {"prompts.mix"},
    "ablate_points": {"prompts.num_points"},
    "table10_backbones": {"sam"},
    "table15_data": {"data.masks"},
    "table16_leave_one_out": {"data.thin_objects"},
    "[hqsam_vit_l, ablate_prompts]": {"prompts.mix"},
    "[hqsam_vit_l, ablate_points]": {"prompts.num_points"},
    "[hqsam_vit_l, table10_backbones]": {"sam"},
    "[hqsam_vit_l, table15_data]": {"data"},
    "[hqsam_vit_l, table16_leave_one_out]": {"data.sources"},
}


def part_of(name: str) -> str:
    parts = name.split(".")
    return ".".join(parts[:2]) if parts[0] == "fusion" else parts[0]


@pytest.fixture(params=LEARNS)
def rows(request: pytest.FixtureRequest, make_config, tiny_sam: FrozenSam) -> tuple[str, dict[str, Head]]:
    config = make_config(f"+experiment={request.param}", "sam=tiny_random")
    heads = {name: build_head(head, tiny_sam, seed=3) for name, head in config.variants.items()}
    return request.param, heads


def test_rows_learn_what_they_claim(rows: tuple[str, dict[str, Head]]) -> None:
    experiment, heads = rows
    assert {name: {part_of(key) for key in head.learned} for name, head in heads.items()} == LEARNS[experiment]


def test_what_two_rows_share_begins_equal(rows: tuple[str, dict[str, Head]]) -> None:
    experiment, heads = rows
    for one, other in combinations(heads, 2):
        for key in heads[one].learned.keys() & heads[other].learned.keys():
            if not {(experiment, one, part_of(key)), (experiment, other, part_of(key))} & UNLIKE:
                assert torch.equal(heads[one].learned[key], heads[other].learned[key]), (one, other, key)


def test_rows_of_one_head_differ_in_their_config_alone(make_config) -> None:
    """The rows of table 2 that learn the same parameters: one has another token, one another loss."""
    config = make_config("+experiment=table2_token")
    plain = config.variants.hq_token
    product = OmegaConf.merge(config.variants.hq_token_x_output_token, {"_target_": plain._target_})
    assert product == plain == config.variants.hq_token_boundary_loss
    assert config.variants.hq_token_x_output_token._target_.endswith("TokenProductHead")
    assert set(config.variant_losses) == {"hq_token_boundary_loss"}
    own, usual = (
        flatten(OmegaConf.to_container(config.variant_losses.hq_token_boundary_loss, resolve=True)),
        config.loss,
    )
    assert {key for key in own if own[key] != usual.get(key)} == {"_target_", "dilation_ratio"}


@pytest.mark.parametrize("experiment", SWEPT)
def test_trials_of_a_sweep_differ_in_its_key_alone(make_config, experiment: str) -> None:
    with_hydra = make_config(f"+experiment={experiment}", hydra=True)
    params = dict(with_hydra.hydra.sweeper.params)
    swept = [key for key, value in params.items() if len(split(str(value))) > 1]
    assert with_hydra.hydra.mode == RunMode.MULTIRUN
    assert len(swept) == 1
    fixed = [f"{key}={value}" for key, value in params.items() if key not in swept]
    values = split(params[swept[0]])
    points = [make_config(f"+experiment={experiment}", *fixed, f"{swept[0]}={value}") for value in values]
    assert len(points) > 1
    flat = [flatten(OmegaConf.to_container(point, resolve=False)) for point in points]
    for one, other in combinations(flat, 2):
        differing = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
        assert differing
        assert all(any(f"{name}.".startswith(f"{part}.") for part in SWEPT[experiment]) for name in differing), (
            differing
        )


def test_noisy_boxes_are_the_only_difference_of_their_sets(make_config) -> None:
    config = make_config("+experiment=table13_box_noise")
    noises = OmegaConf.to_container(config.val_prompts)
    assert next(iter(noises)) == "box"
    usual = noises.pop("box")
    assert {name: prompts["box_noise"] for name, prompts in noises.items()} == {
        "box_noise_20": 0.2,
        "box_noise_40": 0.4,
    }
    assert all({**prompts, "box_noise": usual["box_noise"]} == usual for prompts in noises.values())


@pytest.mark.parametrize(
    ("experiment", "table"),
    [
        ("table15_data", "table15_data"),
        ("table16_leave_one_out", "table16_leave_one_out"),
        ("[hqsam_vit_l, table10_backbones]", "table10_backbones"),
        ("[hqsam_vit_l, table15_data]", "table15_data"),
        ("[hqsam_vit_l, table16_leave_one_out]", "table16_leave_one_out"),
    ],
)
def test_rows_of_a_table_find_their_trials(make_config, experiment: str, table: str) -> None:
    """What tells a row's run from the others is true of one trial of the sweep, and every trial has a row."""
    config = make_config(f"+experiment={experiment}", hydra=True)
    params = {key: split(str(values)) for key, values in config.hydra.sweeper.params.items()}
    ((key, values),) = ((key, choices) for key, choices in params.items() if len(choices) > 1)
    trials = [make_config(f"+experiment={experiment}", f"{key}={value}") for value in values]
    rows = [row for row in read_paper_table(ROOT / "experiments" / table / "table.yaml") if row.variant != "sam"]
    conditions = [row.miniature if config.setting == "miniature" else row.when for row in rows]
    fits = [[all(OmegaConf.select(trial, k) == v for k, v in when.items()) for trial in trials] for when in conditions]
    assert [sum(row) for row in fits if sum(row) < len(trials)] == [1] * len(trials)
    assert [sum(column) for column in zip(*fits, strict=True)].count(0) == 0


def split(values: str) -> list[str]:
    """The choices of a sweep, at commas outside brackets."""
    choices, depth = [""], 0
    for character in values:
        depth += {"[": 1, "]": -1}.get(character, 0)
        if character == "," and depth == 0:
            choices.append("")
        else:
            choices[-1] += character
    return [choice.strip() for choice in choices]
