"""Averages of the trained weights against a loop by hand, from step to step and across a resume."""

from types import SimpleNamespace
from typing import Any
from unittest import mock

import torch
from torch import nn

from hqsam_lightning.training.averaging import AveragedHeads
from hqsam_lightning.training.module import HQSamModule

DECAY = 0.6
VALUES = [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0, 6.0]


def by_hand(values: list[float]) -> float:
    average = values[0]
    for number, value in enumerate(values, 1):
        decay = min(DECAY, (1 + number) / (10 + number))
        average = decay * average + (1 - decay) * value
    return average


class Run:
    """Drives the callback as Lightning does, over one trained weight."""

    def __init__(self) -> None:
        self.weight = nn.Parameter(torch.zeros(1))
        self.module: Any = mock.Mock(spec=HQSamModule, trainable_state={"w": self.weight})
        self.callback = AveragedHeads(DECAY)

    def step(self, number: int) -> None:
        trainer: Any = SimpleNamespace(global_step=number)
        self.callback.on_train_batch_start(trainer, self.module, None, 0)
        if number > 1:
            assert self.weight.item() == VALUES[number - 2], "the step begins with the trained weights"
        self.weight.data.fill_(VALUES[number - 1])
        for _ in range(2):  # the second call is of a batch that ends no step
            self.callback.on_train_batch_end(trainer, self.module, None, None, 0)

    def validate(self) -> float:
        self.callback.on_validation_epoch_start(mock.Mock(), self.module)
        return self.weight.item()

    def save(self) -> dict[str, Any]:
        checkpoint = {"state_dict": {"w": self.weight.detach().clone()}, "global_step": self.callback._updates}
        self.callback.on_save_checkpoint(mock.Mock(), self.module, checkpoint)
        return checkpoint


def test_a_validation_sees_the_averages_and_the_next_step_does_not() -> None:
    run = Run()
    assert run.validate() == 0.0, "before the first step there is nothing to average"
    for number in range(1, len(VALUES) + 1):
        run.step(number)
        if number % 3 == 0:
            assert run.validate() == run.validate()
            torch.testing.assert_close(run.weight.item(), by_hand(VALUES[:number]))
    run.callback.on_train_end(mock.Mock(), run.module)
    torch.testing.assert_close(run.validate(), by_hand(VALUES))


def test_a_resumed_run_has_the_averages_of_an_uninterrupted_one() -> None:
    for validated in (False, True):
        before, after = Run(), Run()
        for number in range(1, 5):
            before.step(number)
        if validated:
            before.validate()
        checkpoint = before.save()
        torch.testing.assert_close(checkpoint["state_dict"]["w"].item(), by_hand(VALUES[:4]))
        after.weight.data.copy_(checkpoint["state_dict"]["w"])
        after.callback.on_load_checkpoint(mock.Mock(), after.module, checkpoint)
        torch.testing.assert_close(after.validate(), by_hand(VALUES[:4]))
        for number in range(5, len(VALUES) + 1):
            after.step(number)
        torch.testing.assert_close(after.validate(), by_hand(VALUES))
