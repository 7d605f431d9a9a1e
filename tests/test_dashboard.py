"""The dashboard against a local server that plays W&B's API: what is saved is what was built."""

import gzip
import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import wandb
from hydra import compose, initialize_config_dir

from hqsam_lightning.config import conf_dir
from hqsam_lightning.dashboard import TRAINING, dashboard, validation
from hqsam_lightning.errors import ConfigError
from hqsam_lightning.train import train


class Server(ThreadingHTTPServer):
    """Answers the few questions that saving takes, and keeps what was said."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.saved: list[dict[str, Any]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        body = gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body
        asked = json.loads(body) if self.path == "/graphql" else {"query": ""}
        answer = json.dumps({"data": self._answer(asked["query"], asked.get("variables") or {})}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *args: object) -> None:
        pass

    def _answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "upsertView" in query:
            self.server.saved.append(variables)
            view = {
                **{"id": "Vmlldzox", "type": variables.get("type"), "name": variables.get("name") or "untitled"},
                **{"displayName": variables.get("displayName"), "description": "", "spec": variables.get("spec")},
                **{"project": {"id": "UA==", "name": "hq", "entityName": "team"}, "updatedAt": None, "locked": False},
            }
            return {"upsertView": {"view": view, "inserted": True}}
        viewer = {"id": "VA==", "username": "team", "entity": "team", "flags": "{}", "teams": {"edges": []}}
        project = {"id": "UA==", "internalId": "UA==", "name": "hq", "entityName": "team"}
        node = {**project, "createdAt": "2026-01-01T00:00:00Z", "isBenchmark": False, "user": None}
        projects = {"edges": [{"node": node, "cursor": ""}], "pageInfo": {"endCursor": None, "hasNextPage": False}}
        return {
            "models": projects,
            "viewer": viewer,
            "project": project,
            "upsertModel": {"model": project, "project": project},
        }


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[Server]:
    # what an earlier test's offline run left in this process
    wandb.teardown()
    made = Server()
    threading.Thread(target=made.serve_forever, daemon=True).start()
    monkeypatch.setenv("WANDB_BASE_URL", made.url)
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield made
    made.shutdown()
    made.server_close()


def dashboard_config(*overrides: str):
    with initialize_config_dir(conf_dir(), version_base="1.3"):
        return compose("dashboard", overrides=["entity=team", "project=hq", *overrides])


def test_view_and_report_are_saved(server: Server) -> None:
    dashboard(dashboard_config("name=Mine"))
    kinds = {saved.get("type"): saved for saved in server.saved}
    assert len(kinds) == 2
    view = json.loads(next(saved["spec"] for kind, saved in kinds.items() if "runs" not in kind))
    assert view
    text = " ".join(json.dumps(saved) for saved in server.saved)
    for expected in ("Mine", "thin_boundary_iou", "val/panels", "train/.*/loss", "group"):
        assert expected in text


def test_the_metrics_are_ones_that_training_logs(make_config) -> None:
    """Every expression of the curves matches something that a run logs."""
    small = ("sam=tiny_random", "trainer=cpu", "trainer.max_epochs=1", "data.train_size=4", "data.val_size=2")
    config = make_config(
        *small, "batch.total=4", "loader.num_workers=0", "loss.num_points=64", "~callbacks.progress_bar"
    )
    _, objects = train(config)
    logged = set(objects["trainer"].logged_metrics) | {"lr-Adam"}
    for _, expression in (*TRAINING, *validation(dashboard_config().metrics)):
        assert any(re.fullmatch(expression, name) for name in logged), expression


def test_credentials_and_package_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hqsam_lightning.dashboard.wandb.login", lambda **settings: False)
    with pytest.raises(ConfigError, match="expected W&B's credentials, found none; run `wandb login`"):
        dashboard(dashboard_config())
    monkeypatch.setattr("hqsam_lightning.dashboard.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"expected the package wandb-workspaces.*\[dashboard\]"):
        dashboard(dashboard_config())
