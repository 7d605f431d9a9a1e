"""Nodes with a _target_: what cannot be imported, arguments it does not have, and annotations of a user's own code."""

from typing import Any

import pytest

from hqsam_lightning.schema.keys import resolve
from schema.test_checking import composed, problems_with


def with_part(parts: tuple[str, ...], value: Any) -> dict[str, str]:
    values, _ = resolve(composed("train"))
    return problems_with(values, "train", parts, value)


def own(name: str, **arguments: Any) -> dict[str, Any]:
    return {"_target_": f"schema.parts.{name}", **arguments}


@pytest.mark.parametrize(
    "target", ["", "abc", "schema.parts.Gone", "schema.nothing.Loss", "schema.parts.NOT_CALLABLE", 3]
)
def test_a_target_that_is_not_there_is_named(target: object) -> None:
    assert list(with_part(("loss",), {"_target_": target})) == ["loss._target_"]


def test_own_code_is_checked_by_its_annotations() -> None:
    assert with_part(("loss",), own("OwnLoss", sharpness=2, levels=[1], kind="hard")) == {}
    problems = with_part(("loss",), own("OwnLoss", sharpness="high", levels=[1.5], kind="best", sharpnes=1))
    assert sorted(problems) == ["loss.kind", "loss.levels", "loss.sharpnes", "loss.sharpness"]
    assert "did you mean 'sharpness'" in problems["loss.sharpnes"]
    assert list(with_part(("loss",), own("OwnLoss"))) == ["loss.sharpness"]


def test_a_rule_of_ours_does_not_reach_into_own_code() -> None:
    values, _ = resolve(composed("train"))
    values["variants"]["norm"] = own("OwnNorm", features=8)
    problems = problems_with(values, "train", ("seed",), 1)
    assert list(problems) == ["variants.norm", "variants.norm._target_"]
    assert "takes the arguments sam, seed" in problems["variants.norm"]


def test_a_head_takes_sam_and_seed() -> None:
    assert "it has no seed" in with_part(("variants", "mine"), own("HeadWithoutSeed"))["variants.mine"]


@pytest.mark.parametrize(
    ("parts", "key"),
    [
        (("trainer", "max_epoch"), "trainer.max_epoch"),
        (("optimizer", "learning_rate"), "optimizer.learning_rate"),
        (("scheduler", "step"), "scheduler.step"),
        (("callbacks", "best", "montior"), "callbacks.best.montior"),
        (("sam", "encoder", "widths"), "sam.encoder.widths"),
        (("data", "trian_size"), "data.trian_size"),
    ],
)
def test_an_argument_that_is_not_there_is_named(parts: tuple[str, ...], key: str) -> None:
    assert list(with_part(parts, 1)) == [key]


@pytest.mark.parametrize("key", ["optimizer", "scheduler", "sam.encoder", "loss"])
def test_partials_are_partials(key: str) -> None:
    is_partial = key != "loss"
    assert list(with_part((*key.split("."), "_partial_"), not is_partial)) == [f"{key}._partial_"]


@pytest.mark.parametrize("section", ["loss", "variants.hq", "callbacks.panels", "logger.csv", "trainer", "optimizer"])
def test_sections_hold_targets(section: str) -> None:
    for value in (None, 3, {"lr": 1}, "abc"):
        assert section in with_part(tuple(section.split(".")), value)


def test_other_optimisers_and_schedulers_are_checked() -> None:
    sgd = {"_target_": "torch.optim.SGD", "_partial_": True, "lr": 0.1, "momentum": 0.9}
    assert with_part(("optimizer",), sgd) == {}
    assert list(with_part(("optimizer",), {**sgd, "momentum": 1.0})) == ["optimizer.momentum"]
    cosine = {"_target_": "torch.optim.lr_scheduler.CosineAnnealingLR", "_partial_": True, "T_max": 5}
    assert with_part(("scheduler",), cosine) == {}
    assert list(with_part(("scheduler",), {**cosine, "T_max": 0})) == ["scheduler.T_max"]
    del cosine["T_max"]
    assert list(with_part(("scheduler",), cosine)) == ["scheduler.T_max"]


def test_errors_in_own_modules_are_their_authors_to_see(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "module_with_a_bug.py").write_text("import module_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="module_nobody_has"):
        with_part(("loss",), {"_target_": "module_with_a_bug.Loss"})
