"""The benchmark runs every case, and its peers do the same work as ours."""

import json
from functools import partial
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from PIL import Image
from skimage.data import astronaut
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import arithmetic
from benchmarks.__main__ import CONFIG_DIR, benchmark
from benchmarks.arithmetic import vit_multiply_adds
from benchmarks.authors import AuthorsStep
from benchmarks.cases import our_step
from benchmarks.processes import take_turns_apart
from benchmarks.workload import build_sam, build_workload, from_cache
from hqsam_lightning import benchmark as entry
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.runtime.timing import take_turns
from hqsam_lightning.sam import build_sam as build_any_sam
from hqsam_lightning.sam import vit_encoder
from launched import context, run_command

SEARCH = f"hydra.searchpath=[file://{conf_dir()}]"


@pytest.fixture
def make(tmp_path: Path):
    def compose_config(*overrides: str):
        tiny = ("sam=tiny_random", "rounds=1", "num_points=64", "variants=[2]", "masks=[3]")
        with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
            return compose("benchmark", overrides=[SEARCH, *tiny, f"paths.output_dir={tmp_path}", *overrides])

    return compose_config


def test_authors_step_has_our_loss_and_gives_our_weights(make) -> None:
    """The peer that we are measured against does the same work: same losses over several steps."""
    config = make()
    ours = build_workload(config, build_sam(config))
    authors = AuthorsStep(build_workload(config, build_sam(config)))
    for _ in range(4):
        torch.testing.assert_close(ours.step(), authors(), rtol=1e-4, atol=0)


def test_a_step_from_the_cache_is_nearly_the_online_step(make) -> None:
    config = make()
    online, cached = (build_workload(config, build_sam(config)) for _ in range(2))
    torch.testing.assert_close(from_cache(cached).step(), online.step(), rtol=2e-2, atol=0)


def test_masks_of_an_image_are_counted(make) -> None:
    config = make()
    batch = build_workload(config, build_sam(config), masks=3).batch
    assert len(batch.masks) == 3 * len(batch.pixels)
    assert batch.image_index.tolist() == [0, 0, 0, 1, 1, 1]


def test_what_is_measured_is_written(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "SIDE", {"cpu": 64, "cuda": 64})
    rows = benchmark(make("cases=[encoder,inference,masks]", "images=[1,2]"))
    assert {row.case for row in rows} == {"encoder, batch of 1", "encoder, batch of 2", "inference", "masks"}
    assert all(row.seconds > 0 and row.speedup > 0 for row in rows)
    written = json.loads((tmp_path / "benchmark.json").read_text())
    assert [row["name"] for row in written["rows"]] == [row.name for row in rows]
    assert written["run"]["sam"] == "tiny_random"
    assert (tmp_path / "benchmark.png").stat().st_size > 1000


@pytest.mark.skipif(torch.cuda.is_available(), reason="counts the GPU's memory where there is one")
def test_peak_memory_is_that_of_a_process_of_its_own(make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.processes.multiprocessing.get_context", lambda _: context)
    config = make("num_points=8000")
    builders = {name: partial(our_step, config, int(name)) for name in ("1", "64")}
    timings, memory = take_turns_apart(builders, 2)
    assert 2**26 < memory["1"] < memory["64"]
    assert all(len(timing.seconds) == 2 for timing in timings.values())


def in_this_process(builders, rounds: int):
    return take_turns({name: build() for name, build in builders.items()}, rounds), dict.fromkeys(builders, 0)


def test_boxes_are_decoded_by_every_head(make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.boxes_case.take_turns_apart", in_this_process)
    rows = benchmark(make("cases=[boxes]"))
    assert [row.name for row in rows] == ["1 box", "300 boxes", "1 box, 4 heads", "300 boxes, 4 heads"]


def test_predict_and_its_peer_write_the_same_masks(make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.predict_case.take_turns_apart", in_this_process)
    Image.fromarray(astronaut()[:128, :200]).save(tmp_path / "photo.jpg")
    rows = benchmark(make("cases=[predict]", f"photos={tmp_path}"))
    assert [row.name for row in rows] == ["transformers", "ours"]
    assert float(rows[1].note.rsplit(" ", 1)[1]) >= 0.99


def test_predict_asks_for_photos(make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"photos: expected a folder of \.jpg photos for the case predict; got null"):
        benchmark(make("cases=[predict]"))
    with pytest.raises(ConfigError, match=r"has no \.jpg"):
        benchmark(make("cases=[predict]", f"photos={tmp_path}"))


def test_no_weights_are_fetched_for_a_benchmark() -> None:
    with initialize_config_dir(str(CONFIG_DIR), version_base="1.3"):
        assert compose("benchmark", overrides=[SEARCH]).sam.weights == "random"


def test_the_variants_of_table_3_are_those_of_its_experiment(make) -> None:
    config = make()
    heads = build_workload(config, build_sam(config), "ablate_features").module.trained
    assert len(heads) == 7
    assert {type(head.fusion).__name__ for head in heads.values()} == {"RawFusion", "ConvFusion", "FpnFusion"}


def test_a_folder_without_photos_is_named(make, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=rf"^photos: expected a folder of \.jpg photos .* {tmp_path} has no \.jpg"):
        benchmark(make("cases=[reader]", f"photos={tmp_path}"))


def test_a_peer_that_is_not_installed_is_named(make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.__main__.find_spec", lambda package: None)
    with pytest.raises(ConfigError, match=r"^cases: step compares with segment_anything_hq, which .*\[dev\]"):
        benchmark(make("cases=[masks,step]"))


def test_an_unknown_case_is_named(make) -> None:
    with pytest.raises(ConfigError, match=r"cases: expected one of encoder, .*; got 'speed'"):
        benchmark(make("cases=[speed]"))


def test_multiply_adds_are_those_of_a_profiler() -> None:
    """Within the windows' padding and what eager attention does as matrix products, torch counts the same."""
    encoder = partial(vit_encoder, embed_dim=32, depth=2, num_heads=2, window_size=3, global_attn_indexes=[1])
    sam = build_any_sam("tiny", 128, 16, encoder, 16, 32, "random", "unused", attention="eager")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        sam.sam.image_encoder(torch.randn(1, 3, 128, 128))
    assert counter.get_total_flops() / 2 == pytest.approx(vit_multiply_adds(sam.sam.image_encoder), rel=0.01)


def test_the_package_runs_the_benchmarks_of_a_checkout_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = ("cases=[speed]", "sam=tiny_random", "photos=null")
    ended = run_command("hqsam_lightning.benchmark", *arguments, cwd=tmp_path)
    assert ended.returncode == 1
    assert "cases: expected one of encoder, " in ended.stderr
    monkeypatch.setattr(entry, "CHECKOUT", tmp_path)
    with pytest.raises(SystemExit, match="the installed package holds no benchmarks; run `python -m benchmarks` in a"):
        entry.main()
