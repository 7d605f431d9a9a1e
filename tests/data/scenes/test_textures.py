import numpy as np
import pytest

from hqsam_lightning.data.scenes import textures

KINDS = [textures.photograph, textures.octaves, textures.gradient, textures.pattern, textures.patchwork]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("size", [16, 37, 128])
def test_textures_are_standardised_and_follow_the_generator(kind, size):
    one, again, other = (kind(np.random.default_rng(seed), size) for seed in (1, 1, 2))
    assert one.shape == (size, size, 3)
    assert one.dtype == np.float32
    assert np.isfinite(one).all()
    assert np.allclose(one.mean((0, 1)), 0, atol=1e-3)
    assert np.sqrt(one.var((0, 1)).mean()) == pytest.approx(1, abs=0.02)
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_every_photograph_is_used_at_its_own_aspect():
    photos = textures._photographs()
    assert len(photos) == len(textures.PHOTOGRAPHS)
    for photo in photos:
        assert photo.dtype == np.uint8
        assert photo.shape[2] == 3
        assert max(photo.shape[:2]) <= textures.LONGEST_SIDE


def test_octaves_lose_power_with_frequency_as_photographs_do():
    """Photographs' amplitude falls about as 1/f: the power of low frequencies is far above that of high ones."""
    spectra = []
    for seed in range(20):
        grey = textures.octaves(np.random.default_rng(seed), 128).mean(2)
        power = np.abs(np.fft.fft2(grey)) ** 2
        radius = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
        spectra.append(power[(radius > 0.03) & (radius < 0.1)].mean() / power[radius > 0.3].mean())
    assert np.median(spectra) > 10


def test_weights_choose_the_kind():
    made = textures.texture(np.random.default_rng(3), 32, {textures.gradient: 1.0, textures.photograph: 0.0})
    rng = np.random.default_rng(3)
    rng.choice(2, p=[1.0, 0.0])
    assert np.array_equal(made, textures.gradient(rng, 32))
