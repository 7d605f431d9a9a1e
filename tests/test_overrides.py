"""Overrides: values quoted for Hydra's grammar, and hints for those that Hydra refuses."""

import random
import shlex

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from hqsam_lightning.config import conf_dir
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.overrides import override_hints, quote_override, replace_mappings

HOSTILE = [
    "/data/birds (2024)/x=1",
    "a,b.ckpt",
    "it's",
    'say "hi"',
    "back\\slash",
    "end\\",
    "\\'",
    '\\"',
    "#x",
    " $HOME ",
    "${oc.env:HOME}",
    "x\\${a}'",
    "{a: 1}",
    "[1,2]",
    "null",
    "True",
    "NaN",
    "1e3",
    "007",
    "1_000",
    "-inf",
    "",
    "tab\t",
    "line\nbreak",
    "é ü",
    "a:b;c|d<e>&!*@%",
    "~/x",
    "${",
    "..",
]


def read_back(override: str) -> object:
    value = OverridesParser.create().parse_override(override).value()
    plain = OmegaConf.to_container(OmegaConf.create({"value": value}), resolve=True)
    assert isinstance(plain, dict)
    return plain["value"]


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_comes_back(text: str) -> None:
    assert read_back(quote_override("paths.data_dir", text)) == text


def test_random_text_comes_back() -> None:
    rng = random.Random(0)
    for _ in range(500):
        text = "".join(rng.choice("ab'\"\\$={}(),[]:# \t~%1.") for _ in range(rng.randint(0, 12)))
        assert read_back(quote_override("a.b", text)) == text


@pytest.mark.parametrize(
    "value", [None, True, False, 3, -1.5, 1e-9, [], ["a,b", 1, None], {}, {"box": 1, "b-c": ["x y", {"d": "'"}]}]
)
def test_values_keep_their_types(value: object) -> None:
    back = read_back(quote_override("key", value))
    assert (back, type(back)) == (value, type(value))


def test_keys_that_the_grammar_cannot_write_are_refused() -> None:
    with pytest.raises(ConfigError, match="got 'a b'"):
        quote_override("key", {"a b": 1})


def test_plain_text_stays_readable() -> None:
    assert quote_override("paths.data_dir", "/data/hqseg-44k_v1.0") == "paths.data_dir=/data/hqseg-44k_v1.0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("/data/birds (2024)/x=1", "/data/birds (2024)/x=1"),
        ("a,b.ckpt", "a,b.ckpt"),
        ("~/runs/last.ckpt", "~/runs/last.ckpt"),
        ("/data/#1", "/data/#1"),
        ("/data/it's", "/data/it's"),
        ("/data/(its'", "/data/(its'"),
        ("'/data/its' (2)", "'/data/its' (2)"),
        ("[a", "[a"),
    ],
)
def test_a_value_that_hydra_cannot_read_gets_its_quoted_form(value: str, text: str) -> None:
    (hint,) = override_hints(["+experiment=quickstart", f"ckpt_path={value}"], "train", conf_dir())
    quoted = hint.split("write ", 1)[1]
    (argument,) = shlex.split(quoted)
    assert hint.startswith("ckpt_path: expected")
    assert argument.startswith("ckpt_path=")
    assert read_back(argument) == text


def test_a_sweep_needs_no_quotes() -> None:
    assert override_hints(["seed=1,2", "--multirun"], "train", conf_dir()) == []


def test_references_that_fail_are_pointed_at() -> None:
    (hint,) = override_hints(["name=${nobody}"], "train", conf_dir())
    assert hint.startswith("name: expected ${KEY} to refer to a key")


@pytest.mark.parametrize("override", ["callbacks=null", "sam=5", "+experiment=null", "prompts@val_prompts.box=true"])
def test_a_group_without_a_name_gets_the_names(override: str) -> None:
    (hint,) = override_hints([override], "train", conf_dir())
    key, _, value = override.partition("=")
    assert hint.startswith(f"{key}: expected one of ")
    assert f"; got {value}; to leave the group out, write ~{key.lstrip('+')}" in hint


def test_a_key_without_a_name_is_named() -> None:
    (hint,) = override_hints(["=5"], "train", conf_dir())
    assert "with a key" in hint


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("prompts.mix={box: 1}", ["prompts.mix=null", "++prompts.mix={box: 1}"]),
        ("prompts.mix={box:1},{points:1}", ["prompts.mix=null", "++prompts.mix={box:1},{points:1}"]),
        ("prompts.mix=choice({box:1},{points:1})", ["prompts.mix=null", "++prompts.mix=choice({box:1},{points:1})"]),
        *(
            (text, [text])
            for text in ("++a.b={c: 1}", "+a={b: 1}", "~a={b: 1}", "a=[{b: 1}]", "a='{b: 1}'", "a={b", "a=1,2")
        ),
        *((text, [text]) for text in ("a=${b}", "prompts={box: 1}", "--config-dir={a: 1}")),
    ],
)
def test_a_mapping_replaces(argument: str, expected: list[str]) -> None:
    assert replace_mappings([argument], conf_dir()) == expected
    assert replace_mappings(expected, conf_dir()) == expected


@pytest.mark.parametrize(
    ("key", "mapping"),
    [("prompts.mix", {"box": 1}), ("callbacks.panels.rules", {"gain": 2}), ("variants", {"a": {"_target_": "b"}})],
)
def test_a_mapping_of_the_command_line_is_all_that_is_left(make_config, key: str, mapping: dict) -> None:
    composed = make_config(*replace_mappings([quote_override(key, mapping)], conf_dir()))
    assert OmegaConf.select(composed, key) == mapping
