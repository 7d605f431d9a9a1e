"""Copies of SAM's modules: with weights of their own to train, or around the same frozen weights."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn

AnyModule = TypeVar("AnyModule", bound=nn.Module)


def trainable_copy(module: AnyModule) -> AnyModule:
    """Copies a module with its weights, which are trained."""
    return copy.deepcopy(module).requires_grad_(True)


def sharing_copy(module: AnyModule) -> AnyModule:
    """Copies a module around the same weights, so that parts of the copy can be exchanged at no cost of memory."""
    tensors = [*module.parameters(), *module.buffers()]
    return copy.deepcopy(module, {id(tensor): tensor for tensor in tensors})
