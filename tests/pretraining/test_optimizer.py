"""Groups hold each parameter once; the schedule goes where it says."""

import copy
import math
from functools import partial

import pytest
import torch
from torch import nn

from hqsam_lightning.errors import ConfigError
from hqsam_lightning.pretraining.optimizer import build_optimizer, warmup_cosine
from hqsam_lightning.sam import FrozenSam


def test_groups_of_a_sam(tiny_sam: FrozenSam) -> None:
    sam = copy.deepcopy(tiny_sam.sam)
    adamw = partial(torch.optim.AdamW, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05)
    optimizer = build_optimizer(sam, adamw, decoder_lr_scale=0.2)
    of = {id(parameter): group for group in optimizer.param_groups for parameter in group["params"]}
    names = dict(sam.named_parameters())
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(of) == len(names)
    for name, parameter in names.items():
        group = of[id(parameter)]
        in_encoder = name.startswith("image_encoder.")
        assert group["lr"] == pytest.approx(1e-3 if in_encoder else 2e-4), name
        assert group["betas"] == (0.9, 0.98)
        owner = sam.get_submodule(name.rpartition(".")[0]) if "." in name else sam
        matrix = name.endswith("weight") and isinstance(owner, nn.Linear | nn.Conv2d | nn.ConvTranspose2d)
        assert group["weight_decay"] == (0.05 if matrix else 0), name
    exempt = {"image_encoder.pos_embed", "mask_decoder.mask_tokens.weight", "prompt_encoder.no_mask_embed.weight"}
    assert exempt <= {name for name, parameter in names.items() if of[id(parameter)]["weight_decay"] == 0}
    assert len({group["name"] for group in optimizer.param_groups}) == 4


def rates(steps: int, **arguments: float) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=2.0)
    scheduler = warmup_cosine(optimizer, **arguments)
    found = []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def test_schedule() -> None:
    found = rates(21, warmup_steps=4, total_steps=21, final=0.01)
    assert found[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert found[4] == pytest.approx(2.0)
    assert found[12] == pytest.approx(2 * (0.01 + 0.99 / 2))
    assert found[20] == pytest.approx(0.02)
    expected = [2 * (0.01 + 0.99 * (1 + math.cos(math.pi * (step - 4) / 16)) / 2) for step in range(4, 21)]
    assert found[4:] == pytest.approx(expected)


def test_no_warmup_and_a_run_of_one_step() -> None:
    assert rates(1, warmup_steps=0, total_steps=1, final=0.1) == pytest.approx([2.0])


@pytest.mark.parametrize(("warmup_steps", "total_steps"), [(5, 5), (7, 5)])
def test_a_warmup_that_does_not_fit(warmup_steps: int, total_steps: int) -> None:
    with pytest.raises(
        ConfigError, match=f"scheduler.warmup_steps, trainer.max_steps: .* got {warmup_steps}, {total_steps}"
    ):
        rates(0, warmup_steps=warmup_steps, total_steps=total_steps, final=0)


@pytest.mark.parametrize(("key", "value"), [("warmup_steps", -1), ("total_steps", 0), ("final", 1.5), ("final", "x")])
def test_a_value_of_the_schedule_out_of_range_is_named(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=rf"^scheduler\.{key}: expected .*; got {value!r}$"):
        rates(0, **{"warmup_steps": 0, "total_steps": 5, "final": 0, key: value})


def test_a_final_share_out_of_range() -> None:
    with pytest.raises(ConfigError, match=r"scheduler.final: .* got 1.5"):
        rates(0, warmup_steps=0, total_steps=2, final=1.5)
