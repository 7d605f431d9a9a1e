"""(mask, generator) -> prompt: boxes, points and degraded masks."""

from hqsam_lightning.prompts.grouping import group_prompts
from hqsam_lightning.prompts.mix import Prompter, PromptMix

__all__ = ["PromptMix", "Prompter", "group_prompts"]
