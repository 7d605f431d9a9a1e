"""Every shipped config composes and instantiates; every experiment takes a step; experiments/ names what exists."""

import re
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.errors import ConfigCompositionException
from hydra.utils import instantiate
from omegaconf import OmegaConf
from segment_anything import sam_model_registry

from conftest import ROOT
from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.building import build_sets
from hqsam_lightning.overrides import override_hints
from hqsam_lightning.reporting.paper import read_paper_table
from hqsam_lightning.sam import build
from hqsam_lightning.train import train

CONF = Path(conf_dir())
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
CHOICES = sorted(
    f"{path.parent.relative_to(CONF)}={path.stem}"
    for path in CONF.glob("*/*.yaml")
    if path.parent.name not in ("experiment", "source", "head", "hydra", "suite")
)
FULL = ("hqsam_vit_b", "hqsam_vit_h", "hqsam_vit_l", "light_hqsam")
"""Experiments that bring the paper's setting."""
SMALL = (
    "sam=tiny_random",
    "data=synthetic",
    "trainer=cpu",
    "trainer.max_steps=1",
    "trainer.max_epochs=1",
    "data.train_size=4",
    "data.val_size=1",
    "batch.total=4",
    "loader.num_workers=0",
    "~callbacks.progress_bar",
)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_choice_composes(make_config, choice: str) -> None:
    group, _, name = choice.partition("=")
    config = make_config({"sweep": f"+{choice}", "metric": f"metric@metrics.iou={name}"}.get(group, choice))
    OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


@pytest.mark.parametrize("suite", sorted(path.stem for path in (CONF / "suite").glob("*.yaml")))
def test_every_suite_composes(suite: str) -> None:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("evaluate", overrides=[f"suite={suite}", "paths.output_dir=out"])
    OmegaConf.to_container(config, resolve=True)


@pytest.mark.parametrize(
    ("overrides", "launcher"),
    [
        ([], "hydra_plugins.hqsam_multirun.ContinuingLauncher"),
        (["+sweep=optuna"], "hydra_plugins.hqsam_multirun.ContinuingLauncher"),
        (["hydra/launcher=basic"], "hydra._internal.core_plugins.basic_launcher.BasicLauncher"),
    ],
)
def test_multiruns_continue_after_a_point_that_fails(make_config, overrides: list[str], launcher: str) -> None:
    assert make_config(*overrides, hydra=True).hydra.launcher._target_ == launcher


@pytest.mark.parametrize("choice", [c for c in CHOICES if c.split("=")[0] in ("prompts", "loss", "augmentation")])
def test_small_parts_instantiate(make_config, choice: str) -> None:
    config = make_config(choice)
    extra = {"image_size": 64} if choice.startswith("augmentation") else {}
    assert instantiate(config[choice.split("=")[0]], **extra) is not None


@pytest.mark.parametrize("kind", ["box", "points", "noise_mask"])
def test_prompt_configs_give_their_kind_alone(make_config, kind: str) -> None:
    assert [name for name, weight in make_config(f"prompts={kind}").prompts.mix.items() if weight] == [kind]


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_vit_configs_are_segment_anythings_models(make_config, name: str) -> None:
    config = make_config(f"sam={name}").sam
    with torch.device("meta"):
        ours = build._assemble(
            config.image_size, config.patch_size, instantiate(config.encoder), config.embed_dim, config.mlp_dim
        )
        reference = sam_model_registry[name]()
    theirs = {key: value.shape for key, value in reference.state_dict().items()}
    assert {key: value.shape for key, value in ours.state_dict().items()} == theirs
    assert [b.window_size for b in ours.image_encoder.blocks] == [b.window_size for b in reference.image_encoder.blocks]


@pytest.mark.parametrize(("name", "side"), [("nano", 320), ("nano_256", 256), ("nano_vit", 256)])
def test_shipped_sams_are_a_few_million_parameters(make_config, name: str, side: int) -> None:
    sam = instantiate(make_config(f"sam={name}").sam)
    assert 2e6 < sum(parameter.numel() for parameter in sam.parameters()) < 4e6
    assert sam.image_size == side


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_takes_a_step(make_config, experiment: str) -> None:
    means, objects = train(make_config(f"+experiment={experiment}", *SMALL))
    assert objects["trainer"].global_step == 1
    heads, data = objects["module"].heads, objects["datamodule"]
    of_all = means[means["group_of_objects"] == "all"]
    rows = sum(len(head.outputs) for head in heads.values())
    prompts = objects["module"].scorer.prompts
    assert len(of_all) == rows * len(data.sets.validation) * len(prompts) * 2


@pytest.mark.parametrize("backbone", ["b", "l", "h"])
def test_the_papers_recipe(make_config, backbone: str) -> None:
    config = make_config(f"+experiment=hqsam_vit_{backbone}")
    assert config.sam.name == f"vit_{backbone}"
    assert config.name == f"hqsam_vit_{backbone}"
    assert (config.batch.total, config.trainer.devices, config.batch.max_per_device) == (32, 8, 4)
    assert (config.trainer.max_epochs, config.scheduler.step_size, config.scheduler.gamma) == (12, 10, 0.1)
    assert (config.optimizer.lr, list(config.optimizer.betas), config.optimizer.weight_decay) == (1e-3, [0.9, 0.999], 0)
    assert dict(config.prompts.mix) == {"box": 1, "points": 1, "noise_mask": 1}
    assert dict(config.val_prompts.box.mix) == {"box": 1}
    assert config.loss.num_points == 112 * 112
    assert (config.augmentation.min_scale, config.augmentation.max_scale, config.augmentation.flip_prob) == (
        0.1,
        2,
        0.5,
    )


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name not in (*FULL, "own_photos")])
def test_an_experiment_alone_is_the_miniature(make_config, experiment: str) -> None:
    alone, quickstart = make_config(f"+experiment={experiment}"), make_config("+experiment=quickstart")
    for config in (alone, quickstart):
        assert (config.setting, config.sam.name, config.trainer.accelerator) == ("miniature", "nano", "cpu")
    for key in ("batch", "optimizer", "scheduler", "trainer"):
        assert alone[key] == quickstart[key]


@pytest.mark.parametrize("experiment", [name for name in EXPERIMENTS if name not in (*FULL, "own_photos")])
def test_an_experiment_takes_the_papers_setting(make_config, experiment: str) -> None:
    paper = make_config("+experiment=hqsam_vit_l")
    for chosen in (f"[hqsam_vit_l, {experiment}]", f"[{experiment}, hqsam_vit_l]"):
        config = make_config(f"+experiment={chosen}")
        assert config.setting == "paper"
        for key in ("sam", "data", "batch", "optimizer", "scheduler", "trainer", "augmentation", "prompts"):
            assert config[key] == paper[key], key


@pytest.mark.parametrize("data", ["folder", "coco", "labelme", "cvat"])
@pytest.mark.parametrize("setting", ["miniature", "paper"])
def test_own_photos_take_any_annotations_and_setting(make_config, data: str, setting: str) -> None:
    config = make_config("+experiment=own_photos", f"data={data}", f"setting={setting}")
    other = make_config(f"data={data}", f"setting={setting}")
    assert (config.data, config.prompts, config.loss, config.sam) == (other.data, other.prompts, other.loss, other.sam)
    assert (config.folds, config.evaluation.choose_output, config.batch.total) == (5, True, 8)
    assert config.callbacks.early_stopping.monitor == "val/hq/boundary_iou"


@pytest.mark.parametrize(
    ("experiment", "rules"),
    [("figure6_attention", {"gain": 4, "random": 4}), ("figure7_visual", {"gain": 4, "loss": 4, "random": 4})],
)
def test_figures_show_what_they_say(make_config, experiment: str, rules: dict[str, int]) -> None:
    composed = make_config(f"+experiment={experiment}").callbacks.panels.rules
    assert {rule: count for rule, count in composed.items() if count} == rules


def test_coarse_masks_are_scored_on_fine_ones(make_config) -> None:
    config = make_config(
        *(
            "+experiment=table15_data",
            "data.masks=coarse",
            "data.val_masks=fine",
            "data.train_size=2",
            "data.val_size=1",
        )
    )
    sets = build_sets(config)
    assert (sets.train[0][0].masks, sets.validation["synthetic"].masks) == ("coarse", "fine")


def test_debug_lies_over_the_experiment(make_config) -> None:
    config = make_config("debug=fast", "+experiment=quickstart")
    assert (config.trainer.max_epochs, config.trainer.limit_train_batches) == (1, 2)


def test_an_unknown_choice_lists_the_choices(make_config) -> None:
    with pytest.raises(ConfigCompositionException, match=r"(?s)sam/vit_x.*nano.*vit_b.*vit_h"):
        make_config("sam=vit_x")


@pytest.mark.parametrize(
    ("argument", "hint"),
    [
        ("trainer.max_epoch=3", "trainer has no key 'max_epoch'; did you mean 'max_epochs'"),
        ("promts.num_points=3", "the config has no key 'promts'; did you mean 'prompts'"),
        ("sam.encoder.varian=lite1", "sam.encoder has no key 'varian'; did you mean 'variant'"),
        ("data.sorces=[ecssd]", "data has no key 'sorces'; did you mean 'sources'"),
    ],
)
def test_misspelt_keys_get_their_neighbours(argument: str, hint: str) -> None:
    (found,) = override_hints(["+experiment=quickstart", "data=hqseg44k", argument, "seed=3"], "train", conf_dir())
    assert hint in found


# rows of a table that stay missing unless a user brings what they need
BROUGHT = {"table4_finetuning": {"cascade_psp", "crm"}}


def test_experiments_name_what_exists(make_config) -> None:
    tables = sorted((ROOT / "experiments").glob("*/table.yaml"))
    assert tables
    for path in tables:
        assert read_paper_table(path)
        table = OmegaConf.load(path)
        assert (path.parent / "README.md").is_file()
        if "suite" in table:
            assert (ROOT / "conf" / "suite" / f"{table.suite}.yaml").is_file()
            continue
        variants = make_config(f"+experiment={table.experiment}").variants
        named = {row.variant for row in table.rows} - {"sam"}
        assert named - BROUGHT.get(table.experiment, set()) == set(variants), path


READMES = [ROOT / "README.md", *sorted((ROOT / "experiments").rglob("README.md"))]


@pytest.mark.parametrize("readme", READMES, ids=lambda path: str(path.relative_to(ROOT)))
def test_readmes_name_what_exists(readme: Path) -> None:
    text = readme.read_text()
    choices = re.findall(r"\+experiment=(\w+|\[[\w, ]+\])", text)
    assert {name for choice in choices for name in re.findall(r"\w+", choice)} <= {*EXPERIMENTS, "NAME"}
    paths = re.findall(r"\]\(([^)#:]+)\)", text) + re.findall(r"table=(experiments/[\w/]+\.yaml)", text)
    assert [path for path in paths if not (readme.parent / path).exists() and not (ROOT / path).exists()] == []


def test_every_experiment_is_told_of() -> None:
    told = " ".join(readme.read_text() for readme in READMES)
    assert [name for name in EXPERIMENTS if not re.search(rf"\b{name}\b", told)] == []
