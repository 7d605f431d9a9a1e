"""The model card of a trained head."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from huggingface_hub import ModelCardData
from pandas import DataFrame

from hqsam_lightning.reporting.markdown import markdown_table

if TYPE_CHECKING:
    from hqsam_lightning.inference.model import HQSam, Origin

ROW = ["variant", "output", "dataset", "prompts"]
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
    licenses = [f"- {name}: {license}" for name, license in run.get("licenses", {}).items()]
    trained = ["## Training", "\n".join(lines)]
    if licenses:
        trained += ["Licenses of the photos that it was trained on:", "\n".join(licenses)]
    return [*trained, "## Scores", _scores(facts)]


def _scores(facts: Mapping[str, Any]) -> str:
    """Mean scores over all objects, and their differences to plain SAM with 95 % bootstrap intervals."""
    if not facts["scores"]:
        return "The run has none."
    means, gains = (_wide(facts, name) for name in ("scores", "differences"))
    table = means.join(gains.add_suffix(": difference to SAM")).fillna("") if len(gains) else means
    return "\n".join(markdown_table(table.reset_index())).rstrip()


def _wide(facts: Mapping[str, Any], name: str) -> DataFrame:
    """One row per variant, output, dataset and prompts; one column of text per metric."""
    cells: dict[tuple[str, ...], dict[str, str]] = {}
    for row in facts[name]:
        metric = facts["metrics"][row["metric"]]
        scale = 100 if metric["percent"] else 1
        if row["group_of_objects"] != "all":
            continue
        text = f"{scale * row['mean']:.1f}" if name == "scores" else _interval(row, scale)
        cells.setdefault(tuple(row[key] for key in ROW), {})[metric["label"]] = text
    return DataFrame.from_dict(cells, orient="index").rename_axis(ROW) if cells else DataFrame()


def _interval(row: Mapping[str, Any], scale: int) -> str:
    text = f"{scale * row['mean']:+.1f}"
    # one image alone has no interval
    return text if row["low"] is None else f"{text} [{scale * row['low']:.1f}, {scale * row['high']:.1f}]"
