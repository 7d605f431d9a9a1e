"""The model card of a trained head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCardData
from pandas import DataFrame

if TYPE_CHECKING:
    from hqsam_lightning.inference.model import HQSam, Origin

FACTS = {
    "command": "command",
    "date": "date",
    "seed": "seed",
    "data": "data",
    "batch": "batch",
    "epochs": "epochs",
    "steps": "steps",
    "commit": "commit of hqsam_lightning",
    "torch": "torch",
}


def model_card(model: HQSam, origin: Origin) -> str:
    """Markdown with the metadata that the Hub reads.

    Args:
        model: with a head.
        origin: what it was built from, with the facts of the run that trained it where they are known.
    """
    data = ModelCardData(library_name="hqsam_lightning", pipeline_tag="mask-generation", tags=["segment-anything"])
    count = sum(value.numel() for value in model.head.learned.values())
    parts = [
        f"---\n{data.to_yaml()}\n---",
        f"# A head for SAM {model.sam.name}",
        f"{count:,} trained parameters of `{(origin.head or {}).get('_target_')}` on a frozen Segment Anything model, "
        f"{model.sam.name}, whose weights have SHA-256 `{model.sam.weights_sha256}`. They are not part of this "
        "folder.",
        "```python\nfrom hqsam_lightning.inference import HQSam, SamPredictor\n\n"
        'predictor = SamPredictor(HQSam.from_pretrained("THIS FOLDER OR REPOSITORY"))\n'
        "predictor.set_image(image)  # (H, W, 3) uint8 RGB\n"
        "masks, scores, logits = predictor.predict(box=box, multimask_output=False)\n```",
        *_sections(origin.facts),
    ]
    return "\n\n".join(parts) + "\n"


def _sections(facts: Mapping[str, Any]) -> list[str]:
    """Training and scores, where the run is known."""
    if not facts:
        return ["Nothing is known of its training."]
    run = facts["run"]
    lines = [f"- {label}: {run[name]}" for name, label in FACTS.items() if name in run]
    licences = [f"- {name}: {licence}" for name, licence in facts.get("licences", {}).items()]
    trained = ["## Training", "\n".join(lines)]
    if licences:
        trained += ["Licences of the images it was trained on:", "\n".join(licences)]
    return [*trained, "## Scores", _scores(facts)]


def _scores(facts: Mapping[str, Any]) -> str:
    table = DataFrame(facts["scores"])
    if table.empty:
        return "The run has none."
    labels = {name: metric["label"] for name, metric in facts["metrics"].items()}
    percent = {name for name, metric in facts["metrics"].items() if metric["percent"]}
    scale = table["metric"].map(lambda name: 100.0 if name in percent else 1.0)
    table = table.assign(metric=table["metric"].map(labels), mean=(table["mean"] * scale).round(1))
    keys = [name for name in ("variant", "output", "dataset", "prompts", "group_of_objects") if name in table]
    return str(
        table.pivot_table(index=keys, columns="metric", values="mean", sort=False)
        .reset_index()
        .to_markdown(index=False)
    )
