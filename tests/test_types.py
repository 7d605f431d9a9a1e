"""Logits by the name of an output."""

import pytest
import torch

from hqsam_lightning.types import MaskLogits


def test_outputs_by_name() -> None:
    sam, hq = torch.randn(2, 2, 1, 4, 4)
    logits = MaskLogits(sam, hq, torch.ones(2))
    assert torch.equal(logits.select("sam"), sam)
    assert torch.equal(logits.select("hq"), hq)
    assert torch.equal(logits.select("sum"), sam + hq)
    assert torch.equal(MaskLogits(sam, None, torch.ones(2)).select("sum"), sam)
    with pytest.raises(ValueError, match="expected the output sam, hq or sum; got 'HQ'"):
        logits.select("HQ")
