"""The command `hqsam demo` up to its page, which tests/interactive/test_page.py opens in a browser."""

import logging

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from hqsam_lightning import demo
from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.schema import check_config


def config_of(*overrides: str) -> DictConfig:
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return check_config(compose("demo", overrides=list(overrides)), "demo")


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: name)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"gradio, found none; pip install 'hqsam-lightning\[demo\]'"):
        demo.demo(config_of())


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("device=nowhere", "device: expected auto, or a device of this machine; got 'nowhere'"),
        ("model=nothing", "expected one of nano, .* got 'nothing'"),
        ("output=hq", "output: expected one of sam; got 'hq'"),
        ("sam_weights=missing.pth", r"missing\.pth: expected a weights file"),
    ],
)
@pytest.mark.usefixtures("installed")
def test_what_cannot_be_shown_is_named(override: str, message: str) -> None:
    with pytest.raises(Exception, match=message) as refused:
        demo.demo(config_of("model=nano", override))
    assert type(refused.value).__module__ == "hqsam_lightning.errors"


@pytest.mark.parametrize(
    "override",
    ["host=example.com", "host=", "port=0", "port=70000", "limits.sessions=0", "limits.photo_megapixels=1000"],
)
def test_values_out_of_range_are_named(override: str) -> None:
    with pytest.raises(ConfigError, match=f"{override.partition('=')[0]}: expected"):
        config_of(override)


@pytest.mark.parametrize(
    ("host", "warned"), [("127.0.0.1", False), ("localhost", False), ("::1", False), ("0.0.0.0", True)]
)
@pytest.mark.usefixtures("installed")
def test_opening_the_page_to_others_is_a_warning(host: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(ConfigError, match="nothing"):
        demo.demo(config_of(f"host='{host}'", "model=nothing"))
    assert ("asks for no password" in caplog.text) is warned
