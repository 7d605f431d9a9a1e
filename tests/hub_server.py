"""A server on this machine that answers as the Hugging Face Hub does: downloads, and the steps of an upload."""

import base64
import hashlib
import http.server
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

COMMIT = "0" * 40
TOKEN = "hf_right"
OWN = "org"
"""The namespace that the token may write to."""


class Hub(http.server.ThreadingHTTPServer):
    """Repositories, as files by name.

    Attributes:
        repositories: by ``ORG/NAME``.
        private: what `create_repo` said of each.
        cut_after: files end after this number of bytes, as where the connection breaks; None for whole ones.
        damaged: names of files that come with another first byte.
        ranges: the Range header of each GET of a file, None where it has none.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.objects: dict[str, bytes] = {}
        self.cut_after: int | None = None
        self.damaged: set[str] = set()
        self.ranges: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        for pattern, act in (
            (r"/api/models/([^/]+/[^/]+)/tree/[^/]+(/.*)?", self.tree),
            (r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self.info),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.file),
        ):
            if found := re.fullmatch(pattern, path):
                return act(*found.groups())
        return self.refuse(404, "no such address")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        path, body = self.path.partition("?")[0], self.rfile.read(int(self.headers["Content-Length"]))
        if path != "/api/validate-yaml" and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.refuse(401, "Invalid username or password.")
        for pattern, act in (
            ("/api/repos/create", self.create),
            ("/api/validate-yaml", self.validate),
            (r"/api/models/([^/]+/[^/]+)/preupload/main", self.preupload),
            (r"/([^/]+/[^/]+)\.git/info/lfs/objects/batch", self.batch),
            (r"/api/models/([^/]+/[^/]+)/commit/main", self.commit),
        ):
            if found := re.fullmatch(pattern, path):
                return act(*found.groups(), body)
        return self.refuse(404, "no such address")

    def do_PUT(self) -> None:
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != f"/objects/{hashlib.sha256(content).hexdigest()}":
            return self.refuse(400, "another digest")
        self.server.objects[self.path.rpartition("/")[2]] = content
        return self.answer(b"")

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: self.server.cut_after] if "ETag" in headers else body)

    def tell(self, content: Any, status: int = 200, **headers: str) -> None:
        self.answer(json.dumps(content).encode(), status, Content_Type="application/json", **headers)

    def refuse(self, status: int, message: str, **headers: str) -> None:
        self.tell({"error": message}, status, X_Error_Message=message, **headers)

    def found(self, name: str) -> dict[str, bytes] | None:
        files = self.server.repositories.get(name)
        if files is None:
            self.refuse(404, "Repository not found", X_Error_Code="RepoNotFound")
        return files

    def info(self, name: str, revision: str | None) -> None:
        if (files := self.found(name)) is None:
            return
        if revision not in (None, "main", COMMIT):
            return self.refuse(404, f"Invalid rev id: {revision}", X_Error_Code="RevisionNotFound")
        self.tell({"id": name, "sha": COMMIT, "siblings": [{"rfilename": each} for each in sorted(files)]})

    def tree(self, name: str, below: str | None) -> None:
        if files := self.found(name):
            start = f"{below}/".lstrip("/") if below else ""
            self.tell([self.entry(each, files[each]) for each in sorted(files) if each.startswith(start)])

    def entry(self, path: str, content: bytes) -> dict[str, Any]:
        digest, size = hashlib.sha256(content).hexdigest(), len(content)
        lfs = {"oid": digest, "size": size, "pointerSize": 130}
        return {"type": "file", "path": path, "oid": COMMIT, "size": size, "lfs": lfs}

    def file(self, name: str, revision: str, path: str) -> None:
        if (files := self.found(name)) is None:
            return
        if path not in files:
            return self.refuse(404, "Entry not found", X_Error_Code="EntryNotFound")
        content = files[path]
        headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X_Repo_Commit": COMMIT}
        if path in self.server.damaged:
            content = bytes([content[0] ^ 1]) + content[1:]
        asked = self.headers.get("Range")
        if self.command == "GET":
            self.server.ranges.append(asked)
        if asked is None:
            return self.answer(content, **headers)
        first = int(asked.removeprefix("bytes=").rstrip("-"))
        headers["Content_Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        self.answer(content[first:], 206, **headers)

    def create(self, body: bytes) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        if asked["organization"] != OWN:
            return self.refuse(403, f'You don\'t have the rights to create a model under the namespace "{name}"')
        if name in self.server.repositories:
            return self.tell({"url": f"{self.server.address}/{name}"}, 409)
        self.server.repositories[name] = {}
        self.server.private[name] = asked.get("visibility") == "private" or asked.get("private") is True
        self.tell({"url": f"{self.server.address}/{name}"})

    def validate(self, body: bytes) -> None:
        """What the Hub asks of a card: metadata, and a known license, or else the name of another."""
        metadata = yaml.safe_load(json.loads(body)["content"].split("---")[1])
        problems = [] if isinstance(metadata, dict) and metadata.get("library_name") else ["empty metadata"]
        if metadata.get("license") == "other" and not metadata.get("license_name"):
            problems.append("license_name is required")
        listed = [{"message": each} for each in problems]
        self.tell({"errors": listed, "warnings": []}, 400 if problems else 200)

    def preupload(self, name: str, body: bytes) -> None:
        names = [each["path"] for each in json.loads(body)["files"]]
        modes = {each: "lfs" if each.endswith(".safetensors") else "regular" for each in names}
        listed = [{"path": each, "uploadMode": mode, "shouldIgnore": False} for each, mode in modes.items()]
        self.tell({"files": listed})

    def batch(self, name: str, body: bytes) -> None:
        asked = json.loads(body)["objects"]
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.server.address}/objects/{each['oid']}"}}} for each in asked
        ]
        self.tell({"transfer": "basic", "objects": objects})

    def commit(self, name: str, body: bytes) -> None:
        files = self.server.repositories[name]
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
        self.tell({"commitUrl": f"{self.server.address}/{name}/commit/{COMMIT}", "commitOid": COMMIT})


@contextmanager
def serving(patch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Makes huggingface_hub ask a server of this machine, and nobody else."""
    with Hub() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        patch.setattr("huggingface_hub.constants.ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
        # the Hub's other way to store large files is a service of its own
        patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        patch.setenv("HF_TOKEN", TOKEN)
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
