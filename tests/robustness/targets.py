"""What reads other people's files, each with sound inputs to damage and a way to use them to the end."""

from robustness.image_targets import Coco, Masks, Photos, Sa1b
from robustness.target import Target
from robustness.tensor_targets import Caches, Checkpoints, Weights
from robustness.text_targets import Configs, Reports, Studies

TARGETS: dict[str, type[Target]] = {
    target.__name__.lower(): target
    for target in (Photos, Masks, Coco, Sa1b, Checkpoints, Weights, Caches, Studies, Reports, Configs)
}
