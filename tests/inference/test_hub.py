"""Models on the Hugging Face Hub: what is uploaded comes back, and what cannot be done is said with its remedy."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard

from hqsam_lightning.errors import HQSamError, WeightsError
from hqsam_lightning.inference import HQSam
from hqsam_lightning.inference.hub import download_file
from hqsam_lightning.inference.loading import SHIPPED
from hub_server import Hub, serving

HEAD = {path.name: path.read_bytes() for path in SHIPPED["hq_nano"].iterdir()}
# how huggingface_hub sends a large file is deprecated by its own HTTP client
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
MODEL, WEIGHTS = "org/model", "model.safetensors"


@pytest.fixture(scope="module")
def model() -> HQSam:
    return HQSam.from_pretrained("hq_nano")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serving(monkeypatch) as server:
        yield server


def test_a_model_is_uploaded_and_comes_back(hub: Hub, model: HQSam, tmp_path: Path) -> None:
    assert model.push_to_hub(MODEL, private=True) == f"{hub.address}/org/model/commit/{'0' * 40}"
    assert hub.private == {MODEL: True}
    assert hub.repositories[MODEL] == HEAD
    # the repository is there already
    model.push_to_hub(MODEL)
    again = HQSam.from_pretrained(MODEL, cache_dir=tmp_path)
    assert again.output == model.output
    for name, value in model.head.learned.items():
        assert torch.equal(again.head.learned[name], value)


def test_the_card_has_the_metadata_of_the_hub() -> None:
    card = ModelCard(HEAD["README.md"].decode(), ignore_metadata_errors=False)
    assert card.data.to_dict() == {
        "library_name": "hqsam_lightning",
        "pipeline_tag": "mask-generation",
        "tags": ["segment-anything"],
    }


@pytest.mark.parametrize(
    ("repository", "token", "message"),
    [
        ("org/new", "hf_wrong", r"^org/new: .*401 Unauthorized.*; log in with `hf auth login`, or set HF_TOKEN"),
        ("other/new", None, r'^other/new: .*the namespace "other/new".*; log in with `hf auth login`'),
        ("a b/new", None, r"^a b/new: .*Repo id must use alphanumeric chars.*; check the name"),
    ],
)
def test_a_refused_upload_says_why(hub: Hub, model: HQSam, repository: str, token: str | None, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        model.push_to_hub(repository, token=token)
    assert hub.repositories == {}


def test_a_file_that_is_not_taken_is_said(hub: Hub, model: HQSam, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hub_server.Handler.do_PUT", lambda handler: handler.refuse(413, "too large"))
    with pytest.raises(WeightsError, match=r"^org/model: .*'model\.safetensors' to the Hub\. .*413"):
        model.push_to_hub(MODEL)
    assert hub.repositories == {MODEL: {}}


@pytest.mark.parametrize(
    ("repository", "revision", "message"),
    [
        ("org/none", None, r"^org/none: .*Repository Not Found.*; check the name .*; if it is private, log in"),
        (MODEL, "v9", r"^org/model: .*Revision Not Found.*; check the name and the revision"),
        ("org/empty", None, r"^org/empty: expected .* as push_to_hub writes it; config\.json and model\.safet"),
    ],
)
def test_what_the_hub_does_not_have_is_named(
    hub: Hub, tmp_path: Path, repository: str, revision: str | None, message: str
) -> None:
    hub.repositories |= {MODEL: dict(HEAD), "org/empty": {"README.md": b""}}
    with pytest.raises(WeightsError, match=message):
        HQSam.from_pretrained(repository, cache_dir=tmp_path, revision=revision)


def test_without_a_connection_what_was_downloaded_is_loaded(hub: Hub, model: HQSam, tmp_path: Path) -> None:
    hub.repositories[MODEL] = dict(HEAD)
    HQSam.from_pretrained(MODEL, cache_dir=tmp_path)
    hub.shutdown()
    hub.server_close()
    assert HQSam.from_pretrained(MODEL, cache_dir=tmp_path).output == model.output
    actions = (lambda: HQSam.from_pretrained("org/new", cache_dir=tmp_path), lambda: model.push_to_hub("org/new"))
    for action in actions:
        with pytest.raises(HQSamError, match=r"^org/new: .*Connection refused.*; check the name and the network"):
            action()


def test_a_file_is_compared_with_its_digest(hub: Hub, tmp_path: Path) -> None:
    hub.repositories[MODEL] = dict(HEAD)
    path = download_file(MODEL, WEIGHTS, None, tmp_path)
    assert path.read_bytes() == HEAD[WEIGHTS]
    assert download_file(MODEL, WEIGHTS, None, tmp_path) == path
    path.resolve().write_bytes(b"damaged")
    with pytest.raises(WeightsError, match=r"expected SHA-256 [0-9a-f]{64}, as the Hub says; delete the file"):
        download_file(MODEL, WEIGHTS, None, tmp_path)
