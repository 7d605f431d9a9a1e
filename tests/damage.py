"""Ways to damage a file that its readers have to notice."""

import random
from collections.abc import Callable, Iterator


def flipped(content: bytes, seed: int, count: int) -> Iterator[bytes]:
    """Copies with one bit changed: half of them anywhere, half in the first or last 2 KB, where headers are.

    Args:
        content: of the file.
        seed: of the places.
        count: of the copies.
    """
    rng = random.Random(seed)
    for number in range(count):
        edge = min(2048, len(content))
        place = rng.randrange(len(content)) if number % 2 else rng.choice([1, -1]) * rng.randrange(1, edge)
        damaged = bytearray(content)
        damaged[place] ^= 1 << rng.randrange(8)
        yield bytes(damaged)


def _without_middle(content: bytes) -> bytes:
    return content[: len(content) // 2] + content[len(content) // 2 + 512 :]


def _zeroed(content: bytes) -> bytes:
    return content[:-600] + bytes(512) + content[-88:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "longer": lambda content: content + bytes(64),
    "a block is missing": _without_middle,
    "a block is zero": _zeroed,
    "another program's": lambda content: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}
