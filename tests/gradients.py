"""Compares gradients of two implementations of one function in float32."""

from collections.abc import Mapping

from torch import Tensor


def assert_close_gradients(ours: Mapping[str, Tensor | None], theirs: Mapping[str, Tensor | None]) -> None:
    """Each gradient agrees to 1e-4 of its own greatest entry, or to 1e-7 of the greatest entry of all.

    Some gradients are zero by theory, such as that of a bias that all keys of a softmax share: what a processor
    computes for them is rounding of much larger terms, and the size of those terms is what it can be held against.
    """
    assert ours.keys() == theirs.keys()
    assert all(gradient is not None for gradient in (*ours.values(), *theirs.values()))
    greatest = max(gradient.abs().max() for gradient in theirs.values())
    for key, expected in theirs.items():
        bound = 1e-4 * max(expected.abs().max(), 1e-3 * greatest)
        assert (ours[key] - expected).abs().max() <= bound, key
