"""What the training contestants work on: one SAM, heads with their optimiser, and a batch of scenes."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.utils import instantiate
from lightning.fabric.utilities import move_data_to_device
from omegaconf import DictConfig
from torch import Tensor

from hqsam_lightning.config import conf_dir
from hqsam_lightning.data.collate import collate
from hqsam_lightning.data.datasets import Scenes
from hqsam_lightning.data.examples import TrainingExamples
from hqsam_lightning.data.framing import Stretch
from hqsam_lightning.data.transforms import Augmentation
from hqsam_lightning.evaluation.scorer import Scorer
from hqsam_lightning.heads import Head
from hqsam_lightning.losses import PointSampledMaskLoss
from hqsam_lightning.metrics import Metric, mask_iou
from hqsam_lightning.prompts.mix import PromptMix
from hqsam_lightning.sam import FrozenSam
from hqsam_lightning.training.module import HQSamModule
from hqsam_lightning.training.weights import build_head
from hqsam_lightning.types import Batch, Example, StoredFeatures

SEED = 0


@dataclass
class Workload:
    """A training step's parts.

    Attributes:
        module: SAM and variants.
        optimizer: of the variants.
        batch: of images with their prompts.
    """

    module: HQSamModule
    optimizer: torch.optim.Optimizer
    batch: Batch

    def step(self) -> Tensor:
        """Takes one optimiser step; gives its loss."""
        self.optimizer.zero_grad()
        loss = torch.stack([terms["loss"] for terms in self.module.losses(self.batch).values()]).sum()
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def build_sam(config: DictConfig, precision: str = "fp32", attention: str = "fused") -> FrozenSam:
    """Builds the SAM of benchmark.yaml on the device."""
    # random weights of ViT-H take a CPU many seconds
    with device():
        sam: FrozenSam = instantiate(config.sam, precision=precision, attention=attention)
    return sam.to(device())


def build_workload(
    config: DictConfig, sam: FrozenSam, variants: int | str = 1, masks: int = 1, sequential_backward: bool = False
) -> Workload:
    """Builds a training step on config.batch_size images.

    Args:
        config: of the benchmark.
        sam: the frozen model.
        variants: number of full HQ heads, or the name of the experiment whose variants are trained.
        masks: per image.
        sequential_backward: see `HQSamModule`.
    """
    module = HQSamModule(
        sam=sam,
        variants=_build_heads(config, sam, variants),
        loss=PointSampledMaskLoss(num_points=config.num_points),
        optimizer=torch.optim.Adam,
        scheduler=partial(torch.optim.lr_scheduler.StepLR, step_size=1),
        scorer=Scorer(
            {"iou": Metric("mIoU", function=mask_iou)}, datasets=[], prompts=["box"], frame=Stretch(sam.image_size)
        ),
        sequential_backward=sequential_backward,
    ).to(device())
    parameters = [parameter for head in module.trained.values() for parameter in head.learned.values()]
    return Workload(module, torch.optim.Adam(parameters, lr=1e-3), build_batch(config, sam, masks))


def build_batch(config: DictConfig, sam: FrozenSam, masks: int) -> Batch:
    """A batch of scenes with box prompts, each scene's mask repeated `masks` times."""
    scenes = Scenes(config.batch_size, sam.image_size, objects=(1, 1))
    augmentation = Augmentation(sam.image_size, min_scale=1.0, max_scale=1.0)
    examples = TrainingExamples(scenes, augmentation, PromptMix({"box": 1}), sam.mask_input_size, SEED)
    return _to_device(collate([_repeat(examples[0, index, 0], masks) for index in range(config.batch_size)]))


def from_cache(workload: Workload) -> Workload:
    """The same step on features as an embedding cache stores them."""
    features = workload.module.sam.features(workload.batch.images)
    stored = StoredFeatures(features.image_embeddings.bfloat16(), features.early.bfloat16())
    return replace(workload, batch=replace(workload.batch, images=stored))


def device() -> torch.device:
    """A GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _build_heads(config: DictConfig, sam: FrozenSam, variants: int | str) -> dict[str, Head]:
    if isinstance(variants, int):
        specs = {f"hq{number}": config.head for number in range(variants)}
    else:
        inside_a_command = GlobalHydra.instance().is_initialized()
        with nullcontext() if inside_a_command else initialize_config_dir(conf_dir(), version_base="1.3"):
            chosen = compose("train", overrides=[f"experiment={variants}"]).variants
        specs = {name: spec for name, spec in chosen.items() if spec is not None}
    return {name: build_head(spec, sam, seed=number) for number, (name, spec) in enumerate(specs.items())}


def _repeat(example: Example, masks: int) -> Example:
    return replace(
        example,
        masks=example.masks.expand(masks, -1, -1, -1).contiguous(),
        prompts={"": example.prompts[""] * masks},
        seeds=[example.seeds[0] + number for number in range(masks)],
    )


def _to_device(batch: Batch) -> Batch:
    return move_data_to_device(batch, device())
