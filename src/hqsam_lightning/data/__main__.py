"""Data sets, before anything is trained on them: `python -m hqsam_lightning.data check|summary|download`."""

from __future__ import annotations

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import pandas as pd
from hydra import compose
from omegaconf import DictConfig

from hqsam_lightning.cli import clean_errors, run_hydra
from hqsam_lightning.config import as_plain, conf_dir
from hqsam_lightning.data.building import build_sets
from hqsam_lightning.data.checking import Checked, as_findings, as_table, check_sets, sources_of
from hqsam_lightning.data.clip_checking import check_clips
from hqsam_lightning.data.contact_sheet import write_contact_sheets
from hqsam_lightning.data.downloading import Places, Repository, require_published
from hqsam_lightning.data.downloading import download as fetch_sets
from hqsam_lightning.data.problems import MOST_SHOWN, raise_problems
from hqsam_lightning.data.statistics import draw_summary, measure_sets, summarise_sets
from hqsam_lightning.data.suite_checking import check_suite
from hqsam_lightning.errors import ConfigError, DataError, choice_error
from hqsam_lightning.escaping import printable
from hqsam_lightning.overrides import quote_override
from hqsam_lightning.schema import check_config
from hqsam_lightning.storage.files import write_whole


def check(config: DictConfig) -> list[Checked]:
    """Checks every file of the sets, prints a table and what is wrong, and writes all findings.

    Args:
        config: composed from conf/data_check.yaml.

    Returns:
        What was found in each set.

    Raises:
        ConfigError: a value cannot work.
        StorageError: the findings cannot be written.
    """
    config = check_config(config, "data_check")
    if config.videos.images is not None:
        checked = [_check_videos(config)]
    elif config.benchmark is not None:
        checked = check_suite(_suite(config.benchmark, config.paths.data_dir), config.check)
    else:
        checked = check_sets(as_plain(config)["data"], config.sources, config.check)
    print(as_table(checked).to_string(index=False))
    for each in checked:
        _print_problems(each.problems)
    if config.out is not None:
        findings = as_findings(checked)
        _write_csv(Path(config.out), findings)
        print(f"{len(findings)} findings in {config.out}")
    return checked


def _check_videos(config: DictConfig) -> Checked:
    images, annotations, names = (config.videos[key] for key in ("images", "annotations", "names"))
    if annotations is None:
        raise ConfigError("videos.annotations: expected a folder or a JSON file, since videos.images is set; got null")
    return check_clips(Path(images), Path(annotations), None if names is None else Path(names), config.check)


def _suite(name: str, data_dir: str) -> dict[str, Any]:
    """The config of a suite, as plain values, for files in a folder."""
    names = sorted(path.stem for path in (Path(conf_dir()) / "suite").glob("*.yaml"))
    if name not in names:
        raise choice_error("benchmark", name, names)
    overrides = [f"suite={name}", quote_override("paths.data_dir", data_dir), "paths.output_dir=unused"]
    suite: dict[str, Any] = as_plain(compose("evaluate", overrides=overrides).suite)
    return suite


def require_sound(checked: Sequence[Checked]) -> None:
    """Raises a `DataError` that names the sets with problems."""
    wrong = [each.name for each in checked if each.problems]
    if wrong:
        raise DataError(
            f"{len(wrong)} of {len(checked)} sets have problems: {', '.join(wrong)}; see above, and correct "
            "the files or the keys that they name"
        )


def _print_problems(problems: Sequence[str]) -> None:
    for problem in problems[:MOST_SHOWN]:
        print(f"  - {printable(problem)}")
    if len(problems) > MOST_SHOWN:
        print(f"  - and {len(problems) - MOST_SHOWN} more; out=FILE.csv writes all")


def summary(config: DictConfig) -> pd.DataFrame:
    """Draws contact sheets, measures objects, prints a table, and writes sets.csv, objects.csv and summary.png.

    Args:
        config: composed from conf/data_summary.yaml.

    Returns:
        One line per set, see `summarise_sets`.

    Raises:
        HQSamError: the sets cannot be used, a photo that is measured cannot be read, or the folder cannot be written.
    """
    config = check_config(config, "data_summary")
    if "holdout" in config.data:
        config.data.holdout = 0
    sets, out = build_sets(config), Path(config.out)
    sheets = write_contact_sheets(sets, out, config.seed)
    objects, problems = measure_sets(sets, config.most_photos)
    raise_problems("photos that cannot be measured", problems, "hqsam data check names all that is wrong with a set")
    found = summarise_sets(objects)
    _write_csv(out / "objects.csv", objects)
    _write_csv(out / "sets.csv", found)
    picture = io.BytesIO()
    draw_summary(objects).savefig(picture, format="png", dpi=150)
    write_whole(out / "summary.png", picture.getvalue())
    print(found.to_string(index=False, float_format="{:.3f}".format))
    print(f"{len(sheets)} contact sheets in {out / 'data'}; tables and a plot in {out}")
    return found


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    """Writes a table; file names of other encodings keep their bytes."""
    write_whole(path, table.to_csv(index=False, lineterminator="\n").encode())


def download(config: DictConfig) -> dict[str, int]:
    """Downloads and unpacks what is missing, and says under which license each set is.

    Args:
        config: composed from conf/data_download.yaml.

    Returns:
        The number of files written for each source that was not there.

    Raises:
        HQSamError: a source is unknown, an archive cannot be had or is damaged, or the disk is full.
    """
    config = check_config(config, "data_download")
    data = as_plain(config)["data"]
    if "catalogue" not in data:
        raise ConfigError("data: expected a config with a catalogue of sources; set data=hqseg44k")
    sources = sources_of(data, config.sources)
    require_published(sources, [*data["sources"], *data["val_sources"]])
    places = Places(Path(config.paths.data_dir), Path(config.archives), config.keep_archives)
    written = fetch_sets(sources, Repository(config.repository, config.folder, config.revision), places)
    print(
        f"{len(sources)} sets in {config.paths.data_dir}, {sum(written.values())} files written; check them with: "
        f"hqsam data check paths.data_dir={config.paths.data_dir}"
    )
    return written


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="data_check")
@clean_errors
def main_check(config: DictConfig) -> None:
    """Entry point of `data check`."""
    require_sound(check(config))


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="data_summary")
@clean_errors
def main_summary(config: DictConfig) -> None:
    """Entry point of `data summary`."""
    summary(config)


@hydra.main(version_base="1.3", config_path=conf_dir(), config_name="data_download")
@clean_errors
def main_download(config: DictConfig) -> None:
    """Entry point of `data download`."""
    download(config)


ACTIONS = {"check": main_check, "summary": main_summary, "download": main_download}


def main() -> None:
    """Runs the action that the first argument names."""
    action = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if action not in ACTIONS:
        print(f"error: expected one of {', '.join(ACTIONS)}; got {action!r}", file=sys.stderr)
        sys.exit(1)
    del sys.argv[1]
    run_hydra(ACTIONS[action], f"data_{action}", f"data {action}")


if __name__ == "__main__":
    main()
