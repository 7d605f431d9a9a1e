"""On a GPU: heads, losses and scores are those of a CPU, and runs train, resume and evaluate; `-k cuda` adds others."""

import copy
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from conftest import make_tiny_sam, randomise
from gradients import assert_close_gradients
from head_examples import two_images, weigh
from hqsam_lightning.data.collate import collate
from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.data.examples import TrainingExamples
from hqsam_lightning.data.transforms import Augmentation
from hqsam_lightning.heads import Head, HQHead
from hqsam_lightning.losses import PointSampledMaskLoss
from hqsam_lightning.losses.point_sampled import sample_values
from hqsam_lightning.metrics import boundary_iou, mask_iou
from hqsam_lightning.precompute import precompute
from hqsam_lightning.prompts.clicks import draw_clicks
from hqsam_lightning.prompts.mix import PromptMix
from hqsam_lightning.sam import FrozenSam, build_sam, vit_encoder
from hqsam_lightning.train import train
from hqsam_lightning.training.checkpoint import read_checkpoint
from hqsam_lightning.types import Batch
from patience import PATIENCE
from tests.heads.test_methods import METHODS, move, run
from tests.test_configs import EXPERIMENTS, SMALL
from tests.test_parity import SIZES, relative
from tests.training import test_resume as resuming

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU that CUDA can use")
GPU = torch.device("cuda")
HEADS: dict[str, Callable[[FrozenSam], Head]] = {"hq": HQHead, **METHODS}
EXACT = "+trainer.deterministic=true"


def on_gpu(overrides: tuple[str, ...]) -> list[str]:
    return [text.replace("trainer=cpu", "trainer=gpu") for text in overrides]


@pytest.fixture(scope="module")
def encoders() -> Callable[[str, str], FrozenSam]:
    """Makes ViT-B at 1024 px with the same random weights for either attention, in a precision."""
    size = {**SIZES["vit_b"], "encoder": partial(vit_encoder, **SIZES["vit_b"]["encoder"])}

    def make(attention: str, precision: str) -> FrozenSam:
        options = {"weights": "random", "cache_dir": "unused", "attention": attention, "precision": precision}
        sam = build_sam("vit_b", patch_size=16, **size, **options)
        randomise(sam, seed=1)
        return sam.to(GPU)

    return make


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", 1e-4), ("bf16", 0.03)])
def test_fused_attention_is_eager_attention_at_full_size(encoders, precision: str, tolerance: float) -> None:
    expected = encoders("eager", "fp32").encode(two_images(encoders("eager", "fp32")))
    fused = encoders("fused", precision)
    got = fused.encode(two_images(fused))
    assert norm_of_difference(got.image_embeddings, expected.image_embeddings) <= tolerance
    assert norm_of_difference(got.early, expected.early) <= tolerance


def norm_of_difference(ours: Tensor, theirs: Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


@pytest.mark.parametrize("name", ["lora", "adapter"])
@pytest.mark.parametrize("attention", ["fused", "eager"])
def test_bf16_gradients_point_where_those_of_float32_do(name: str, attention: str) -> None:
    """A ViT of width 128 at 256 px, of which CUDA's fused kernels take 32 + 2 x 16 channels."""
    encoder = partial(vit_encoder, embed_dim=128, depth=4, num_heads=4, window_size=7, global_attn_indexes=[1, 3])
    gradients = []
    for kind, precision in (("eager", "fp32"), (attention, "bf16")):
        sam = build_sam("x", 256, 16, encoder, 32, 64, "random", "unused", attention=kind, precision=precision)
        randomise(sam, seed=0)
        head = METHODS[name](sam.to(GPU)).to(GPU)
        move(head)
        features = sam.encode_with(head.own_encoder, two_images(sam))
        weigh(features.image_embeddings).backward()
        gradients.append(torch.cat([value.grad.flatten() for value in head.learned.values()]))
    assert nn.functional.cosine_similarity(*gradients, dim=0) > 0.99


@pytest.mark.parametrize("name", HEADS)
def test_a_head_predicts_and_learns_as_on_a_cpu(name: str) -> None:
    logits, gradients = [], []
    for device in ("cpu", GPU):
        sam = make_tiny_sam()
        head = HEADS[name](sam)
        move(head)
        nn.ModuleList([sam, head]).to(device)
        predicted = run(head, sam).hq
        weigh(predicted).backward()
        logits.append(predicted.detach().cpu())
        gradients.append({key: value.grad.cpu() for key, value in head.learned.items()})
    assert relative(logits[1], logits[0]) <= 1e-4
    assert_close_gradients(gradients[1], gradients[0])


def test_scores_and_clicks_are_those_of_a_cpu() -> None:
    generator = torch.Generator().manual_seed(0)
    masks = nn.functional.interpolate(torch.rand(2, 3, 9, 9, generator=generator), (333, 500), mode="bicubic") > 0.5
    for metric in (mask_iou, boundary_iou):
        assert torch.equal(metric(*masks.to(GPU)).cpu(), metric(*masks))
    logits, coverage = torch.rand(2, 4, 1, 64, 64, generator=generator) - torch.tensor([0.5, 0]).view(2, 1, 1, 1, 1)
    draws = torch.rand(4, generator=generator, dtype=torch.float64)
    expected = draw_clicks(logits, coverage, draws, 256)
    got = draw_clicks(logits.to(GPU), coverage.to(GPU), draws.to(GPU), 256)
    assert all(torch.equal(ours.cpu(), theirs) for ours, theirs in zip(got, expected, strict=True))


def test_a_loss_draws_its_points_on_the_gpu_and_is_near_a_cpus() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = nn.functional.interpolate(torch.randn(3, 1, 8, 8, generator=generator), 64, mode="bilinear")
    masks = (nn.functional.interpolate(logits, 256) > 0.1).float()
    loss = PointSampledMaskLoss()
    ours, theirs = (loss(logits.to(device), masks.to(device), [1, 2, 3])["loss"] for device in (GPU, "cpu"))
    assert ours.device.type == "cuda"
    assert float(ours) == pytest.approx(float(theirs), rel=0.02)
    assert torch.equal(ours, loss(logits.to(GPU), masks.to(GPU), [1, 2, 3])["loss"])


def test_the_gradient_of_a_loss_is_the_same_every_time() -> None:
    """It is a CPU's `grid_sample`'s, though a GPU's threads add to it in any order."""
    generator = torch.Generator().manual_seed(0)
    maps, points = torch.randn(4, 1, 64, 64, generator=generator), torch.rand(4, 20_000, 2, generator=generator)
    upstream = torch.randn(4, 20_000, generator=generator)

    def gradient(device: torch.device | str) -> Tensor:
        leaf = maps.to(device).requires_grad_()
        sample_values(leaf, points.to(device)).backward(upstream.to(device))
        return leaf.grad.cpu()

    on_gpu = [gradient(GPU) for _ in range(5)]
    assert all(torch.equal(other, on_gpu[0]) for other in on_gpu)
    torch.testing.assert_close(on_gpu[0], gradient("cpu"), rtol=1e-4, atol=1e-4)


def test_a_pinned_batch_shares_what_it_shared() -> None:
    examples = TrainingExamples(Scenes(2, 64, objects=(1, 1)), Augmentation(64), PromptMix({"box": 1}), 16, 0)
    batch = collate([examples[0, index, 0] for index in range(2)])
    batch.original_masks = [batch.masks[0]] * 2
    pinned = batch.pin_memory()
    assert isinstance(pinned, Batch)
    assert pinned.pixels.is_pinned()
    assert pinned.prompts[0].boxes.is_pinned()
    assert pinned.original_masks[0] is pinned.original_masks[1]
    moved = pinned.to(GPU)
    assert moved.pixels.is_cuda
    assert torch.equal(moved.masks.cpu(), batch.masks)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_takes_a_step(make_config, experiment: str) -> None:
    _, objects = train(make_config(f"+experiment={experiment}", *on_gpu(SMALL), "sam.precision=bf16"))
    assert objects["trainer"].global_step == 1
    assert objects["trainer"].strategy.root_device.type == "cuda"
    assert objects["datamodule"]._loading()["pin_memory"]


def test_a_step_goes_where_a_cpus_does(make_config, tmp_path: Path) -> None:
    """The points of the loss are others: the weights are near, not equal."""
    states = []
    for trainer in ("cpu", "gpu"):
        _, objects = train(
            make_config(*SMALL, f"trainer={trainer}", "optimizer.lr=1e-4", f"paths.output_dir={tmp_path / trainer}")
        )
        states.append(copy.deepcopy(objects["module"].cpu().trainable_state))
    for key, value in states[0].items():
        torch.testing.assert_close(states[1][key], value, rtol=0, atol=2.1e-4, msg=key)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    resuming.run_to_end(folder, "trainer=gpu", EXACT)
    return folder


def test_the_same_run_gives_the_same_bits(uninterrupted: Path, tmp_path: Path) -> None:
    resuming.run_to_end(tmp_path, "trainer=gpu", EXACT)
    resuming.assert_equal_weights(resuming.weights(tmp_path), resuming.weights(uninterrupted))


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("steps", [3, resuming.STEPS_AN_EPOCH + 1])
def test_a_run_is_resumed_in_mid_epoch(uninterrupted: Path, tmp_path: Path, make_config, steps: int) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    recipe = (*on_gpu(resuming.RECIPE), EXACT, "loader.num_workers=0")
    train(make_config(*recipe, f"paths.output_dir={first}", f"trainer.max_steps={steps}"))
    train(make_config(*recipe, f"paths.output_dir={second}", f"ckpt_path={first / 'checkpoints' / 'last.ckpt'}"))
    resuming.assert_equal_weights(resuming.weights(second), resuming.weights(uninterrupted))


def test_one_process_of_nccl_trains_as_one_without(uninterrupted: Path, tmp_path: Path) -> None:
    resuming.run_to_end(tmp_path, "trainer=ddp", "trainer.devices=1", EXACT)
    resuming.assert_equal_weights(resuming.weights(tmp_path), resuming.weights(uninterrupted))


def test_training_from_a_cache_that_the_gpu_wrote(make_config, tmp_path: Path) -> None:
    views = (*on_gpu(SMALL), f"cache={tmp_path / 'cache'}", "augmentations_per_image=2")
    precompute(make_config(*views))
    _, objects = train(make_config(*views))
    assert objects["trainer"].global_step == 1


def test_a_pretraining_run_scores_on_the_gpu(tmp_path: Path) -> None:
    recipe = (
        "sam=tiny_random",
        "sam.weights=random",
        "trainer=gpu",
        "data.train_size=12",
        "data.val_size=2",
        "batch_size=3",
    )
    command = [sys.executable, "-m", "hqsam_lightning.pretrain", *recipe, "trainer.max_steps=3"]
    command += ["scheduler.warmup_steps=2", "loader.num_workers=2", f"hydra.run.dir={tmp_path}"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert ended.returncode == 0, ended.stderr
    assert read_checkpoint(tmp_path / "checkpoints" / "last.ckpt")["global_step"] == 3
    assert (tmp_path / "sam.safetensors").is_file()
