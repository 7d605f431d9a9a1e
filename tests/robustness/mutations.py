"""Damages files the ways that disks, editors, converters and other people's scripts do, from a seed alone."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

ODD_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 7.0, 2**31, 10**9, 10**30, -(10**30), 1e308, float("nan"), float("inf")),
    *("", "abc", "0", "../../x", "/etc/passwd", "a\nb", "\ud800", "x" * 10_000, "ü", "$5_$10", "<b>", "|", "![x](y)"),
    *([], [[]], [None], [1], ["a"], {}, {"a": 1}, [[1, 2, 3, 4]], [[float("nan")] * 6], {"size": [1, 1], "counts": []}),
)
"""What stands in the place of a value; JSON of Python knows NaN and infinity."""


def damage_bytes(content: bytes, rng: random.Random) -> bytes:
    """Flips bits, cuts, repeats, empties, zeroes or replaces parts of a file; now and then it stays as it is."""
    data = bytearray(content)
    kind = rng.randrange(9)
    if kind == 0 and data:  # one bit
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif kind == 1 and data:  # some bytes
        for _ in range(rng.randint(1, 20)):
            data[rng.randrange(len(data))] = rng.randrange(256)
    elif kind == 2:  # cut off
        data = data[: rng.randint(0, len(data))]
    elif kind == 3:  # its beginning is lost
        data = data[rng.randint(0, len(data)) :]
    elif kind == 4:  # a block of zeros, as after a power cut
        start = rng.randint(0, len(data))
        end = min(len(data), start + rng.randint(1, 4096))
        data[start:end] = bytes(end - start)
    elif kind == 5:  # a part twice
        start = rng.randint(0, len(data))
        data[start:start] = data[start : start + rng.randint(1, 512)]
    elif kind == 6:  # a part is missing
        start = rng.randint(0, len(data))
        del data[start : start + rng.randint(1, 512)]
    elif kind == 7:  # something behind it
        data += rng.randbytes(rng.randint(1, 512))
    return bytes(data)


def damage_json(content: Any, rng: random.Random) -> str:
    """Replaces, drops, repeats or renames a value somewhere in a document; sometimes several, sometimes none."""
    document = json.loads(json.dumps(content))
    for _ in range(rng.choice((0, 1, 1, 1, 1, 1, 1, 2, 5))):
        places = list(_places(document))
        if not places:
            break
        holder, key = rng.choice(places)
        action = rng.randrange(5)
        if action <= 2:
            holder[key] = rng.choice(ODD_VALUES)
        elif action == 3:
            del holder[key]
        elif isinstance(holder, list):
            holder.insert(key, holder[key])
        else:
            holder[rng.choice(("", "a", f"{key}s"))] = holder.pop(key)
    return json.dumps(document)


def _places(node: Any) -> Iterator[tuple[Any, Any]]:
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in list(children):
        yield node, key
        yield from _places(child)
