"""Shared fixtures: a tiny random SAM, and where the research-only data is."""

import os
import signal
from functools import lru_cache, partial
from pathlib import Path
from types import SimpleNamespace

# the tests run side by side: one thread each, also in the runs that they start
os.environ.setdefault("OMP_NUM_THREADS", "1")
# and a GPU's convolutions do not round to 10 bits
os.environ.setdefault("NVIDIA_TF32_OVERRIDE", "0")

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from head_examples import two_images
from hqsam_lightning.config import conf_dir
from hqsam_lightning.overrides import as_hydra_takes
from hqsam_lightning.sam import FrozenSam, build_sam, vit_encoder
from hqsam_lightning.types import SamFeatures

ROOT = Path(__file__).parents[1]
DEVICES = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
"""Of the tests that run on each device of this machine; `-k cuda` chooses those of a GPU."""


def pytest_configure() -> None:
    # a shell's background job ignores these signals, and so would what the tests send them to
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photos for research alone; they are not part of the project."""
    folder = Path(os.environ.get("HQSAM_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no research-only data at {folder}; set HQSAM_TEST_DATA to try on real photos")
    return folder


@pytest.fixture
def make_config(tmp_path: Path):
    """See `compose_train`; writes into tmp_path."""
    return partial(compose_train, tmp_path / "run")


def compose_train(folder: Path, *overrides: str, hydra: bool = False) -> DictConfig:
    """Composes conf/train.yaml with overrides, writing into a folder; by the paper's recipe where they choose none."""
    config = _composed_train(overrides, hydra).copy()
    if not any(text.startswith("paths.output_dir=") for text in overrides):
        config.paths.output_dir = str(folder)
    return config


@lru_cache(maxsize=64)
def _composed_train(overrides: tuple[str, ...], hydra: bool) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        chosen = any(text.startswith(("+experiment=", "setting=")) for text in overrides)
        setting = [] if chosen else ["setting=paper"]
        texts = as_hydra_takes(["paths.output_dir=unset", *setting, *overrides], "train", conf_dir())
        return compose("train", overrides=texts, return_hydra_config=hydra)


@pytest.fixture(scope="session")
def tiny_sam() -> FrozenSam:
    """See `make_tiny_sam`."""
    return make_tiny_sam()


def make_tiny_sam() -> FrozenSam:
    """The SAM of conf/sam/tiny_random.yaml with every weight random, also those that SAM begins at zero."""
    sam = build_sam(
        name="tiny_random",
        image_size=64,
        patch_size=16,
        embed_dim=32,
        mlp_dim=64,
        encoder=partial(vit_encoder, embed_dim=16, depth=2, num_heads=2, window_size=2, global_attn_indexes=[1]),
        weights="random",
        cache_dir="unused",
    )
    randomise(sam, seed=0)
    return sam


@pytest.fixture(scope="session")
def features(tiny_sam: FrozenSam) -> SamFeatures:
    """Of the tests' two images."""
    return tiny_sam.encode(two_images(tiny_sam))


def sizes(embed_dim: int, early_dim: int) -> SimpleNamespace:
    """What a head has to know of a SAM that it copies nothing of."""
    return SimpleNamespace(embed_dim=embed_dim, early_dim=early_dim)


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Gives every parameter and buffer-free weight a random value of moderate size, norms near one."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        is_norm = "norm" in name and name.endswith("weight")
        scale = 0.1 if parameter.ndim < 2 else min(1.0, (2 / parameter[0].numel()) ** 0.5)
        parameter.data.copy_(noise * scale + (1.0 if is_norm else 0.0))
