"""A compiled encoder gives the same features, and says what its first call took."""

import logging
import shutil

import pytest
import torch

from hqsam_lightning.sam.compiled import Compiled


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler on a CPU")
def test_a_compiled_encoder_gives_the_same_features(make_config, caplog: pytest.LogCaptureFixture) -> None:
    from hydra.utils import instantiate

    plain, compiled = (instantiate(make_config("sam=tiny_random", f"sam.compile={flag}").sam) for flag in (False, True))
    images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with caplog.at_level(logging.INFO):
        features = [compiled.encode(images) for _ in range(2)][-1]
    expected = plain.encode(images)
    torch.testing.assert_close(features.image_embeddings, expected.image_embeddings, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(features.early, expected.early, rtol=1e-4, atol=1e-5)
    assert isinstance(compiled._encode, Compiled)
    assert len([record for record in caplog.records if "its first call took" in record.message]) == 1
    assert compiled.state_dict().keys() == plain.state_dict().keys()
