"""Searches: trials counted over sessions, interrupted ones done again, pruned ones stopped, errors with their key."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from lightning.pytorch.utilities.exceptions import SIGTERMException
from omegaconf import OmegaConf
from optuna.trial import TrialState

from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import BusyError, ConfigError, StorageError
from hqsam_lightning.search.pruning import OptunaPruning
from hqsam_lightning.search.searcher import Search
from hqsam_lightning.search.study import open_storage
from launched import run_command

SPACE = ["optimizer.lr=tag(log,interval(1e-4,1e-2))", "variants.hq.fusion=choice(conv,fpn)", "batch.total=range(1,4)"]


def metric(greater_is_better: bool = True) -> dict[str, Any]:
    function = {"_target_": "hqsam_lightning.metrics.mask_iou", "_partial_": True}
    target = "hqsam_lightning.metrics.registry.Metric"
    return {"_target_": target, "label": "any", "function": function, "greater_is_better": greater_is_better}


METRICS = {"mbiou": metric(), "miou": metric(), "error": metric(greater_is_better=False)}


class Killed(BaseException):
    """As a signal ends a process: nothing catches it."""


class Job:
    """What Hydra gives for a job that ran."""

    def __init__(self, result: dict[str, float] | BaseException) -> None:
        self.result = result

    @property
    def return_value(self) -> dict[str, float]:
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


class Trainer:
    """Plays Hydra's launcher: the result is how near the learning rate is to 1e-3; dies at a point."""

    def __init__(self, dies_at: int | None = None) -> None:
        self.launched: list[list[str]] = []
        self.dies_at = dies_at

    def launch(self, batch: list[list[str]], initial_job_idx: int) -> list[Job]:
        (overrides,) = batch
        self.launched.append(overrides)
        if len(self.launched) == self.dies_at:
            raise Killed
        rate = float(next(text for text in overrides if text.startswith("optimizer.lr=")).split("=")[1])
        return [Job({"mbiou": 1 - abs(rate - 1e-3), "miou": rate, "error": rate})]


def composed(overrides: list[str]) -> dict[str, Any]:
    """The parts of a config that a search looks at, and what the overrides set."""
    config = OmegaConf.create({"metrics": METRICS, "variants": {"hq": {}}, "evaluation": {"variant": None}})
    for text in overrides:
        key, value = text.lstrip("+").split("=", 1)
        OmegaConf.update(config, key, value, force_add=True)
    return OmegaConf.to_container(config)


def make_search(folder: Path, *overrides: str, **changes: Any) -> Search:
    arguments = {"n_trials": 6, "objectives": ["mbiou"], "seed": 0, **changes}
    parsed = OverridesParser.create().parse_overrides([*SPACE, *overrides])
    return Search(str(folder / "study.log"), "a study", overrides=parsed, compose=composed, **arguments)


def trials(folder: Path) -> list[optuna.trial.FrozenTrial]:
    return optuna.load_study(study_name="a study", storage=open_storage(folder / "study.log")).trials


def test_trials_are_of_the_space_and_fixed_overrides_hold(tmp_path: Path) -> None:
    trainer = Trainer()
    values = make_search(tmp_path, "seed=7").run(trainer)
    assert len(values) == len(trainer.launched) == 6
    for overrides in trainer.launched:
        given = dict(text.split("=", 1) for text in overrides)
        assert given["seed"] == "7"
        assert 1e-4 <= float(given["optimizer.lr"]) <= 1e-2
        assert given["variants.hq.fusion"] in ("conv", "fpn")
        assert given["batch.total"] in ("1", "2", "3")
    assert len({tuple(overrides) for overrides in trainer.launched}) == 6


def test_the_command_line_lies_over_the_space(tmp_path: Path) -> None:
    trainer = Trainer()
    make_search(tmp_path, "batch.total=2", n_trials=2).run(trainer)
    assert all("batch.total=2" in overrides for overrides in trainer.launched)


def test_a_killed_search_goes_on_and_repeats_the_interrupted_trial(tmp_path: Path) -> None:
    first = Trainer(dies_at=4)
    with pytest.raises(Killed):
        make_search(tmp_path).run(first)
    # a kill leaves no time to write
    assert [trial.state for trial in trials(tmp_path)] == [*[TrialState.COMPLETE] * 3, TrialState.RUNNING]
    second = Trainer()
    make_search(tmp_path).run(second)
    assert len(second.launched) == 3
    assert second.launched[0] == first.launched[3]
    assert len({tuple(overrides) for overrides in [*first.launched, *second.launched]}) == 6


def test_a_trial_left_running_is_marked_and_done_again_first(tmp_path: Path) -> None:
    search = make_search(tmp_path)
    study = search.open_study()
    interrupted = study.ask(search.space)
    trainer = Trainer()
    search.run(trainer)
    states = [trial.state for trial in trials(tmp_path)]
    assert states == [TrialState.FAIL, *[TrialState.COMPLETE] * 6]
    again = dict(text.split("=", 1) for text in trainer.launched[0])
    assert float(again["optimizer.lr"]) == interrupted.params["optimizer.lr"]


def test_a_finished_search_trains_nothing_more(tmp_path: Path) -> None:
    make_search(tmp_path).run(Trainer())
    trainer = Trainer()
    assert make_search(tmp_path).run(trainer) == []
    assert trainer.launched == []
    make_search(tmp_path, n_trials=8).run(trainer)
    assert len(trainer.launched) == 2


def test_several_objectives(tmp_path: Path) -> None:
    objectives = ["mbiou", "miou"]
    search = make_search(tmp_path, objectives=objectives)
    assert all(len(values) == 2 for values in search.run(Trainer()))
    best = search.open_study().best_trials
    assert best
    for trial in best:
        others = [other.values for other in trials(tmp_path) if other.number != trial.number]
        assert not any(other[0] >= trial.values[0] and other[1] >= trial.values[1] for other in others)


def test_a_metric_says_whether_it_is_minimised(tmp_path: Path) -> None:
    search = make_search(tmp_path, objectives=["error", "miou"])
    search.run(Trainer())
    study = search.open_study()
    assert study.user_attrs["objectives"] == {"error": "minimize", "miou": "maximize"}
    assert len(study.best_trials) == 6, "each is the better one by either objective"
    alone = make_search(tmp_path / "one", objectives=["error"])
    alone.run(Trainer())
    rates = [trial.params["optimizer.lr"] for trial in trials(tmp_path / "one")]
    assert alone.open_study().best_params["optimizer.lr"] == min(rates)


def test_pruning_stops_what_a_minimised_metric_makes_worse(tmp_path: Path) -> None:
    make_search(tmp_path, objectives=["error"], n_trials=1).run(Trainer())
    search = make_search(tmp_path, objectives=["error"], n_trials=3, prune_after=1)
    study = search.open_study()
    first = study.ask(search.space)
    first.report(0.5, 0)
    study.tell(first, 0.5)
    for value, is_stopped in ((0.4, False), (0.6, True)):
        number = study.ask(search.space).number
        callback = OptunaPruning(str(search.path), "a study", number, "val/hq/error", 1)
        callback.trial.report(value, 0)
        assert callback.trial.should_prune() == is_stopped


def test_pruned_trials_count_and_give_no_value(tmp_path: Path) -> None:
    class Pruning(Trainer):
        def launch(self, batch: list[list[str]], initial_job_idx: int) -> list[Job]:
            jobs = super().launch(batch, initial_job_idx)
            return [Job(optuna.TrialPruned())] if len(self.launched) % 2 == 0 else jobs

    trainer = Pruning()
    values = make_search(tmp_path, prune_after=2).run(trainer)
    assert [value is None for value in values] == [False, True] * 3
    assert "OptunaPruning" in trainer.launched[0][-1]
    assert f"trial:{0}" in trainer.launched[0][-1]


class Failing(Trainer):
    """Points end by errors in the job, or by ones that leave the launcher at once; None is a point that is trained."""

    def __init__(self, *errors: BaseException | None, at_once: bool = True) -> None:
        super().__init__()
        self.errors = list(errors)
        self.at_once = at_once

    def launch(self, batch: list[list[str]], initial_job_idx: int) -> list[Job]:
        jobs = super().launch(batch, initial_job_idx)
        error = self.errors.pop(0) if self.errors else None
        if error is None:
            return jobs
        if self.at_once:
            raise error
        return [Job(error)]


def exit_after(error: BaseException, status: int = 1) -> SystemExit:
    """As an error that is shown by its message ends a run, or Ctrl-C in Lightning."""
    try:
        raise error
    except BaseException:
        try:
            sys.exit(status)
        except SystemExit as stop:
            return stop


@pytest.mark.parametrize(
    ("error", "at_once", "text"),
    [
        (RuntimeError("broken\nin two lines"), False, "RuntimeError: broken in two lines"),
        (exit_after(ConfigError("batch.total: ...")), True, "batch.total: ..."),
        (SystemExit(1), True, "it ended with status 1"),
        (SystemExit("no"), True, "it ended with status no"),
        (MemoryError("20 GiB"), False, "MemoryError: 20 GiB"),
        (ValueError("nan"), True, "ValueError: nan"),
    ],
)
def test_a_failed_trial_is_recorded_and_the_search_continues(
    tmp_path: Path, error: BaseException, at_once: bool, text: str
) -> None:
    trainer, search = Failing(error, at_once=at_once), make_search(tmp_path)
    values = search.run(trainer)
    assert [value is None for value in values] == [True, *[False] * 6]
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.FAIL, *[TrialState.COMPLETE] * 6]
    assert trials(tmp_path)[0].user_attrs["error"] == text
    summary = search.describe_failures()
    assert summary.startswith(
        "1 trial(s) of the search a study failed and are not done again:\n  trial 0 (optimizer.lr="
    )
    assert summary.endswith(f"): {text}")
    again = make_search(tmp_path)
    assert again.run(trainer) == []
    assert again.describe_failures() is None
    assert trainer.launched[0] not in trainer.launched[1:]


def test_failures_in_a_row_end_the_search(tmp_path: Path) -> None:
    broken = [RuntimeError("broken")] * 3
    search = make_search(tmp_path)
    search.run(Failing(*broken[:2], None, *broken, None, at_once=False))
    states = [trial.state for trial in trials(tmp_path)]
    assert states == [*[TrialState.FAIL] * 2, TrialState.COMPLETE, *[TrialState.FAIL] * 3]
    assert "3 failed in a row: the search ended before its 6 trials" in search.describe_failures()
    assert len(make_search(tmp_path).run(Trainer())) == 5, "the same command continues"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (exit_after(KeyboardInterrupt()), 130),
        (KeyboardInterrupt(), 130),
        (SystemExit(130), 130),
        (SystemExit(143), 143),
        (SystemExit(138), 138),
        (SIGTERMException(), 143),
        (exit_after(SIGTERMException(), 0), 143),
        (exit_after(ConfigError("stopped"), 129), 129),
    ],
)
def test_a_stopped_trial_is_done_again(tmp_path: Path, error: BaseException, status: int) -> None:
    trainer, search = Failing(None, error), make_search(tmp_path)
    with pytest.raises(SystemExit) as stop:
        search.run(trainer)
    assert stop.value.code == status
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert search.describe_failures() is None
    make_search(tmp_path).run(trainer)
    assert trainer.launched[2] == trainer.launched[1]
    assert [trial.state for trial in trials(tmp_path)][1:] == [TrialState.FAIL, *[TrialState.COMPLETE] * 5]
    assert "error" not in trials(tmp_path)[1].user_attrs


@pytest.mark.parametrize(
    "error",
    [
        *(StorageError("a: cannot be written"), exit_after(StorageError("a: full"))),
        *(OSError(28, "No space left on device", "a"), exit_after(OSError(30, "Read-only file system"))),
    ],
)
def test_a_trial_that_a_full_disk_ended_is_done_again(tmp_path: Path, error: BaseException) -> None:
    trainer = Failing(error)
    with pytest.raises(StorageError):
        make_search(tmp_path).run(trainer)
    assert [trial.state for trial in trials(tmp_path)] == [TrialState.RUNNING]
    make_search(tmp_path).run(trainer)
    assert trainer.launched[1] == trainer.launched[0]


def test_a_disk_that_fills_while_the_study_is_written_loses_one_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the study; with room again, the same command does the point again and finishes."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:

        class Filling(Trainer):
            def launch(self, batch: list[list[str]], initial_job_idx: int) -> list[Job]:
                if len(self.launched) == 2:
                    patch.setattr("os.fsync", full)
                return super().launch(batch, initial_job_idx)

        trainer = Filling()
        with pytest.raises(StorageError, match=r"study\.log: cannot be written .*No space left.*run the same command"):
            make_search(tmp_path).run(trainer)
    assert [trial.state for trial in trials(tmp_path)] == [*[TrialState.COMPLETE] * 2, TrialState.RUNNING]
    again = Trainer()
    make_search(tmp_path).run(again)
    assert again.launched[0] == trainer.launched[2]
    assert len(again.launched) == 4


def test_a_trial_without_scores_ends_the_search_at_once(tmp_path: Path) -> None:
    class Unscored(Trainer):
        def launch(self, batch: list[list[str]], initial_job_idx: int) -> list[Job]:
            super().launch(batch, initial_job_idx)
            return [Job({})]

    trainer = Unscored()
    with pytest.raises(ConfigError, match="expected a run that scores a validation set"):
        make_search(tmp_path).run(trainer)
    assert len(trainer.launched) == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_an_objective_that_is_no_number_is_a_failure(tmp_path: Path, value: float) -> None:
    class Diverging(Trainer):
        def launch(self, batch: list[list[str]], initial_job_idx: int) -> list[Job]:
            jobs = super().launch(batch, initial_job_idx)
            return [Job({"mbiou": value, "miou": 0.5})] if len(self.launched) == 1 else jobs

    search = make_search(tmp_path, n_trials=2)
    search.run(Diverging())
    assert "expected finite mbiou" in search.failures[0]
    assert len(trials(tmp_path)) == 3


@pytest.mark.parametrize(
    "name",
    ["it's", "a,b=c", "{x}(y)[z]", 'say "hi"', "${name}", "back\\slash", "ends in \\", "sp ace:colon"],
)
def test_any_path_reaches_the_pruning_callback(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    trainer = Trainer()
    make_search(tmp_path / name, n_trials=1, prune_after=2).run(trainer)
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        config = compose("report", overrides=[trainer.launched[0][-1]])
    values = OmegaConf.to_container(config.callbacks.pruning, resolve=True)
    assert values["study"] == str(tmp_path / name / "study.log")
    assert values["trial"] == 0


def test_a_trial_that_was_there_is_not_trained_twice(tmp_path: Path) -> None:
    parsed = OverridesParser.create().parse_overrides(["optimizer.lr=choice(1e-3,2e-3)"])
    trainer = Trainer()
    search = Search(str(tmp_path / "study.log"), "a study", 6, ["miou"], 0, parsed, composed)
    values = search.run(trainer)
    assert len(values) == 6
    assert len(trainer.launched) == len({tuple(overrides) for overrides in trainer.launched}) <= 2
    assert all(
        value == [float(trial.params["optimizer.lr"])] for value, trial in zip(values, trials(tmp_path), strict=True)
    )


@pytest.mark.parametrize(
    ("overrides", "what"),
    [
        (["trainer.max_epochs=1"], "recipe"),
        (["loss.num_points=7"], "recipe"),
        (["batch.total=range(1,9)"], "space"),
        (["loss.dice_weight=interval(0,1)"], "space"),
    ],
)
def test_a_study_is_of_one_recipe_and_space(tmp_path: Path, overrides: list[str], what: str) -> None:
    make_search(tmp_path, "seed=7", n_trials=1).run(Trainer())
    with pytest.raises(ConfigError, match=f"study=.*expected the {what} that the study began with"):
        make_search(tmp_path, "seed=7", *overrides, n_trials=2).run(Trainer())
    elsewhere = (
        "trainer.devices=2",
        "batch.max_per_device=1",
        "paths.data_dir=elsewhere",
        "cache=there",
        "process.opencv_threads=2",
        "resume=never",
    )
    make_search(tmp_path, "seed=7", *elsewhere, n_trials=2).run(Trainer())
    assert len(trials(tmp_path)) == 2


def test_two_processes_do_not_search_one_study(tmp_path: Path) -> None:
    """The second would take the first one's running point for a killed one's."""
    other = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX); print('held', flush=True)"
    )
    make_search(tmp_path, n_trials=1).run(Trainer())
    lock = tmp_path / "study.log.in_use"
    command = [sys.executable, "-c", f"{other}; sys.stdin.read()", str(lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BusyError, match="expected a study that no other process searches; another process does"):
            make_search(tmp_path, n_trials=2).run(Trainer())
        holder.kill()
    make_search(tmp_path, n_trials=2).run(Trainer())
    assert len(trials(tmp_path)) == 2


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"\.in_use: cannot be written"):
        make_search(tmp_path / "file").run(Trainer())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        *(
            ({"objectives": names}, "objectives: expected names of metrics, each once")
            for names in ([], "mbiou", ["mbiou", "mbiou"], [1])
        ),
        ({"objectives": ["iou"]}, r"objectives: expected one of error, mbiou, miou; got 'iou'"),
        *(({"n_trials": value}, "n_trials: expected an integer >= 1; got") for value in (0, -1, "3", 2.5, True, None)),
        *(({"seed": value}, "seed: expected an integer >= 0; got") for value in (-1, "abc", 1.5)),
        *(({"prune_after": value}, "prune_after: expected an integer >= 0, or null; got") for value in (-1, "a")),
        (
            {"objectives": ["mbiou", "miou"], "prune_after": 3},
            r"prune_after: expected null with several objectives \(mbiou, miou\).*got 3",
        ),
    ],
)
def test_bad_settings(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make_search(tmp_path, **changes)


def test_nothing_to_search(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"params: expected a key with several values"):
        Search(str(tmp_path / "s"), "s", 2, ["mbiou"], 0, OverridesParser.create().parse_overrides(["a=1"]), composed)


def test_an_unknown_metric_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"objectives: expected one of error, mbiou, miou; got 'accuracy'"):
        make_search(tmp_path, objectives=["accuracy"])


def test_a_search_of_several_variants_names_one(tmp_path: Path) -> None:
    """Refused before the first trial."""
    with pytest.raises(ConfigError, match=r"evaluation\.variant: expected one of hq, lora; got None"):
        make_search(tmp_path, "+variants.lora=x")
    with pytest.raises(ConfigError, match=r"evaluation\.variant: expected one of hq; got 'lora'"):
        make_search(tmp_path, "evaluation.variant=lora")
    trainer = Trainer()
    named = ("+variants.lora=x", "evaluation.variant=lora")
    make_search(tmp_path, *named, n_trials=1, prune_after=1).run(trainer)
    assert "monitor:'val/lora/mbiou'" in trainer.launched[0][-1] or "monitor:val/lora/mbiou" in trainer.launched[0][-1]
    assert not (tmp_path / "other").exists()


def test_another_objective_on_the_same_study_is_refused(tmp_path: Path) -> None:
    make_search(tmp_path, n_trials=1).run(Trainer())
    with pytest.raises(ConfigError, match=r"study=.*expected the objectives that the study began with"):
        make_search(tmp_path, n_trials=2, objectives=["miou"]).run(Trainer())


@pytest.mark.parametrize(
    "sweep",
    [
        *("optimizer.lr=interval(2,1)", "optimizer.lr=tag(log,interval(0,1))", "optimizer.lr=interval(1,inf)"),
        *("optimizer.lr=tag(int,log,interval(0.5,3))", "optimizer.lr=interval(nan,1)", "optimizer.lr=range(3,1)"),
        "optimizer.lr=glob(*)",
    ],
)
def test_a_sweep_that_spans_nothing_is_named(tmp_path: Path, sweep: str) -> None:
    with pytest.raises(ConfigError, match=r"hydra\.sweeper\.params\.optimizer\.lr: "):
        make_search(tmp_path, sweep)


def test_the_command_searches_and_prunes(tmp_path: Path) -> None:
    tiny = [
        *(
            "setting=paper",
            "sam=tiny_random",
            "trainer=cpu",
            "trainer.max_epochs=3",
            "data.train_size=4",
            "data.val_size=2",
        ),
        *("batch.total=4", "loader.num_workers=0", "loss.num_points=64", "~callbacks.progress_bar"),
    ]
    arguments = [
        *("+sweep=optuna", *tiny),
        *("hydra.sweeper.objectives=[boundary_iou]", "hydra.sweeper.prune_after=1", "hydra.sweeper.n_trials=4"),
        *(f"hydra.sweeper.study={tmp_path / 'study.log'}", f"hydra.sweep.dir={tmp_path / 'runs'}", "--multirun"),
    ]
    done = run_command("hqsam_lightning.train", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (name,) = optuna.get_all_study_names(open_storage(tmp_path / "study.log"))
    study = optuna.load_study(study_name=name, storage=open_storage(tmp_path / "study.log"))
    assert len(study.trials) == 4
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in study.trials)
    finished = [trial for trial in study.trials if trial.state == TrialState.COMPLETE]
    assert all((tmp_path / "runs" / str(trial.number) / "metrics.json").is_file() for trial in finished)
    assert all(len(trial.intermediate_values) == 3 for trial in finished)
