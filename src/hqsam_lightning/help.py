"""What `--help` prints: what a command does, examples, experiments, groups, and every key with its comment.

The comments are those of the YAML files that the command line composes.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.utils import get_args_parser
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from hqsam_lightning.overrides import WITH_EXPERIMENTS, as_hydra_takes, quote_value

WIDTH = 110
KEY = re.compile(r"( *)([\w.@/-]+):(?: |$)(.*)")
COMMANDS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "train": (
        "trains variants of HQ-SAM over one frozen SAM, and scores them beside plain SAM",
        (
            "+experiment=ablate_features",
            "'+experiment=[hqsam_vit_l, ablate_features]' paths.data_dir=FOLDER",
            "setting=paper sam=vit_b data=folder paths.data_dir=FOLDER batch.total=4",
            "optimizer.lr=1e-3,3e-4 --multirun",
        ),
    ),
    "evaluate": ("scores checkpoints, or plain SAM, on a suite of data", ("ckpt=RUN_or_FILE",)),
    "predict": (
        "writes masks of photos, by prompts or of everything",
        (
            "model=RUN images=photo.jpg 'boxes=[[10, 20, 300, 400]]'",
            "model=hq_vit_l images=FOLDER prompt=MASKS 'write=[masks, cutouts]'",
            "model=vit_b images='photos/**/*.jpg' prompt=detections.json instances=instances.json",
            "model=nano images=scan.tif tile=1024 overlap=128",
        ),
    ),
    "export": (
        "writes a trained head for other programs: official .pth, transformers, safetensors, ONNX, int8, .pt2",
        ("model=RUN format=official out=sam_hq.pth", "model=RUN format=onnx out=FOLDER"),
    ),
    "report": (
        "gathers finished runs into one report",
        ("'runs=[outputs/a, outputs/b]' out=report", "'runs=[outputs/a]' table=experiments/table2_token/table.yaml"),
    ),
    "data check": (
        "looks for missing, broken and empty files of a data set, and for masks that are none",
        (
            "data=hqseg44k paths.data_dir=FOLDER",
            "data=folder paths.data_dir=FOLDER out=findings.csv",
            "data=coco data.data_dir=FOLDER data.annotations=FILE data.images=FOLDER",
            "benchmark=lvis paths.data_dir=FOLDER",
            "videos.images=DAVIS/JPEGImages/480p videos.annotations=DAVIS/Annotations/480p",
        ),
    ),
    "data summary": (
        "draws a contact sheet of a data set, and measures how large and how thin its objects are",
        ("data=hqseg44k_val paths.data_dir=FOLDER", "data=synthetic data.image_size=256"),
    ),
    "data download": (
        "downloads HQSeg-44K and its validation sets from their authors' repository, and unpacks them",
        ("paths.data_dir=FOLDER", "'sources=[dis_vd, coift, hrsod, thinobject5k_te]' paths.data_dir=FOLDER"),
    ),
    "precompute": (
        "fills an embedding cache that training runs read",
        ("+experiment=hqsam_vit_b cache=FOLDER augmentations_per_image=4 paths.data_dir=FOLDER",),
    ),
    "pretrain": (
        "trains a whole small SAM from scratch",
        ("", "only_validate=true sam.weights=embedded precision=fp32"),
    ),
    "scenes": ("draws the procedural scenes", ("file=scenes.jpg",)),
    "demo": (
        "opens a page on which SAM and HQ-SAM segment what you click on",
        ("model=outputs/quickstart/RUN", "model=hq_vit_l", "model=RUN::VARIANT device=cuda port=8080"),
    ),
    "dashboard": ("saves a view and a report of a project in Weights & Biases", ("entity=TEAM",)),
}
"""What each command does, and arguments to try."""


def command_list() -> str:
    """What `hqsam --help` prints."""
    lines = [f"  {name:<15}{does}" for name, (does, _) in COMMANDS.items()]
    return "\n".join(["usage: hqsam COMMAND [KEY=VALUE ...]", "", *lines, "", "hqsam COMMAND --help has the rest."])


def command_help(command: str, config_name: str, arguments: Sequence[str], conf_dir: str) -> str:
    """What ``hqsam COMMAND --help`` prints.

    Args:
        command: one of `COMMANDS`.
        config_name: of the command.
        arguments: of the command line; the overrides among them are composed.
        conf_dir: folder of the configs.

    Raises:
        HydraException: they cannot be composed.
    """
    overrides, folders = _overrides_and_folders(arguments, conf_dir)
    given = as_hydra_takes(overrides, config_name, conf_dir)
    with initialize_config_dir(conf_dir, version_base="1.3"):
        values = OmegaConf.to_container(compose(config_name, overrides=given), resolve=False)
        files = GlobalHydra.instance().config_loader().compute_defaults_list(config_name, given, RunMode.RUN).defaults
    shown = _usage(command)
    if config_name in WITH_EXPERIMENTS:
        shown += ["", "experiments (+experiment=NAME, or a list of names):", *_choices("experiment", folders)]
    # a file of a group that another file of it was laid over has no key of its own
    keys = (file.override_key or (file.config_path.rpartition("/")[0] or None) for file in files)
    groups = [key for key in dict.fromkeys(keys) if key and not key.startswith("hydra")]
    choices = [f"  {group}={'|'.join(_names(group.split('@')[0], folders))}" for group in groups]
    shown += ["", "groups:", *choices] if choices else []
    comments: dict[str, str] = {}
    for file in files:
        path = _find(f"{file.config_path}.yaml", folders)
        if path is not None:
            comments |= {_join(file.package or "", key): text for key, text in read_comments(path).items() if text}
    return "\n".join([*shown, "", "keys:", *_lines(values, comments)])


def _usage(command: str) -> list[str]:
    does, examples = COMMANDS.get(command, ("", ()))
    return [
        f"hqsam {command} {does}.",
        "",
        f"usage: hqsam {command} [GROUP=CHOICE] [KEY=VALUE] [+KEY=VALUE] [~KEY] ...",
        f"       (or python -m hqsam_lightning.{command} ...)",
        "",
        "examples:",
        *(f"  hqsam {command} {example}".rstrip() for example in examples),
        "",
        "flags: --multirun, --cfg job (prints the config), --config-dir FOLDER (configs of your own), --hydra-help",
    ]


def read_comments(path: Path) -> dict[str, str]:
    """The comments of a YAML file by dotted key: the lines above a key, or the rest of its line.

    The comment at the top of the file is that of the key "".
    """
    found: dict[str, str] = {}
    above: list[str] = []
    parents: list[tuple[int, str]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        text = line.strip()
        if text.startswith("#"):
            above += [] if text.startswith("# @package") else [text.lstrip("# ")]
            continue
        match = KEY.match(line)
        if "" not in found and (match or not text):
            found[""], above = " ".join(above), []
        if match:
            indent = len(match[1])
            parents = [*(each for each in parents if each[0] < indent), (indent, match[2])]
            beside = match[3].partition("  # ")[2]
            found[".".join(name for _, name in parents)] = " ".join([*above, *([beside] if beside else [])])
        above = []
    return found


def _overrides_and_folders(arguments: Sequence[str], conf_dir: str) -> tuple[list[str], list[Path]]:
    """Overrides, and the folders of configs: those of ``--config-dir`` first."""
    given = get_args_parser().parse_args(arguments)
    if given.config_dir is None:
        return given.overrides, [Path(conf_dir)]
    own = Path(given.config_dir).resolve()
    return [*given.overrides, f"hydra.searchpath=[file://{own}]"], [own, Path(conf_dir)]


def _find(name: str, folders: Sequence[Path]) -> Path | None:
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def _names(group: str, folders: Sequence[Path]) -> list[str]:
    return sorted({path.stem for folder in folders for path in (folder / group).glob("*.yaml")})


def _choices(group: str, folders: Sequence[Path]) -> Iterator[str]:
    """A line per choice of a group, with the first sentence of its file."""
    for name in _names(group, folders):
        path = _find(f"{group}/{name}.yaml", folders)
        sentence = re.split(r"(?<=\.) ", read_comments(path).get("", "") if path else "")[0]
        yield textwrap.fill(sentence, WIDTH, initial_indent=f"  {name:<24}", subsequent_indent=" " * 26)


def _lines(values: Any, comments: Mapping[str, str], prefix: str = "") -> Iterator[str]:
    """A line per key with its value, and its comment below."""
    for name, value in values.items():
        key = _join(prefix, str(name))
        if str(name).startswith("_") and name != "_target_":
            continue
        is_section = isinstance(value, dict) and bool(value)
        if not is_section:
            yield f"  {key}={value if isinstance(value, str) else quote_value(value)}"
        elif comments.get(key):
            yield f"  {key}.*"
        if comments.get(key):
            yield textwrap.fill(comments[key], WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
        if is_section:
            yield from _lines(value, comments, key)


def _join(prefix: str, key: str) -> str:
    return ".".join(part for part in (prefix, key) if part)
