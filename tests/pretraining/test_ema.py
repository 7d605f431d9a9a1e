"""The averaged weights against a loop by hand, in a real run of Lightning's trainer."""

from pathlib import Path

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.pretraining.ema import WeightEMA
from hqsam_lightning.training.callbacks.last_checkpoint import LastCheckpoint
from hqsam_lightning.training.trainer import Trainer


class Normed(L.LightningModule):
    """A BatchNorm and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 1))
        self.seen: list[dict[str, Tensor]] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return (self.layers(batch) - batch.sum(1, keepdim=True)).square().mean()

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.seen.append({name: value.clone() for name, value in self.state_dict().items()})

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.05)


class History(L.Callback):
    """Keeps the weights after each step."""

    def __init__(self) -> None:
        self.states: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:
        self.states.append({name: value.clone() for name, value in module.state_dict().items()})


def fit(folder: Path, module: Normed, *callbacks: L.Callback, steps: int = 20, ckpt_path: Path | None = None) -> None:
    generator = torch.Generator().manual_seed(0)
    loader = DataLoader(torch.randn(80, 3, generator=generator), batch_size=4)
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=1,
        max_steps=steps,
        callbacks=[*callbacks, LastCheckpoint(str(folder), every_n_steps=100)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(module, loader, DataLoader(torch.zeros(1, 3)), ckpt_path=ckpt_path, weights_only=True)


def averaged(states: list[dict[str, Tensor]], decay: float) -> dict[str, Tensor]:
    """The average by hand, in float64."""
    mean = {name: value.double() for name, value in states[0].items()}
    for number, state in enumerate(states[1:], start=1):
        keep = min(decay, (1 + number) / (10 + number))
        for name, value in state.items():
            mean[name] = keep * mean[name] + (1 - keep) * value.double() if value.is_floating_point() else value
    return mean


pytestmark = [
    pytest.mark.filterwarnings("ignore:The '.*_dataloader' does not have many workers"),
    # Lightning on a newer torch
    pytest.mark.filterwarnings("ignore:`isinstance"),
]


@pytest.mark.parametrize("decay", [0.999, 0.3, 0.0])
def test_the_average_of_a_run(tmp_path: Path, decay: float) -> None:
    module, history, ema = Normed(), History(), WeightEMA(decay)
    fit(tmp_path, module, ema, history)
    expected = averaged(history.states, decay)
    ema.hand_over(module)
    for name, value in module.state_dict().items():
        assert torch.allclose(value.double(), expected[name].double(), atol=1e-6), name
        assert torch.equal(module.seen[-1][name], value), "validation sees the averages"
    if decay > 0:
        assert not torch.allclose(module.layers[0].running_mean, history.states[-1]["layers.0.running_mean"], atol=1e-4)
    assert module.layers[0].num_batches_tracked == 20


def test_a_constant_stays_the_same_bits() -> None:
    value = torch.rand(1000)
    average = value.clone()
    for update in range(1, 50):
        WeightEMA(0.999).average([average], [value], update)
    assert torch.equal(average, value)


def test_a_finished_run_that_is_resumed_hands_over_the_averages(tmp_path: Path) -> None:
    first, second = Normed(), Normed()
    (tmp_path / "again").mkdir()
    ema = WeightEMA(0.9)
    fit(tmp_path, first, ema)
    ema.hand_over(first)
    again = WeightEMA(0.9)
    fit(tmp_path / "again", second, again, ckpt_path=tmp_path / "last.ckpt")
    again.hand_over(second)
    assert all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


def test_later_validations_keep_what_was_handed_over(tmp_path: Path) -> None:
    module, ema = Normed(), WeightEMA(0.9)
    fit(tmp_path, module, ema)
    ema.hand_over(module)
    module.layers[1].weight.data.fill_(7)
    ema.on_validation_epoch_start(None, module)
    assert (module.layers[1].weight == 7).all()


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_out_of_range(decay: float) -> None:
    with pytest.raises(ConfigError, match=f"ema.decay: .* got {decay}"):
        WeightEMA(decay)
