"""Requests are read up to a limit, whatever they say of their length."""

import pytest

pytest.importorskip("gradio", reason="no gradio: pip install 'hqsam-lightning[demo]'")

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from hqsam_lightning.interactive.body_limit import FRAMING_BYTES, MESSAGE_BYTES, BodyLimit

UPLOAD = 3 * MESSAGE_BYTES


@pytest.fixture
def sizes() -> list[int]:
    """Of the bodies that reached the application."""
    return []


@pytest.fixture
def client(sizes: list[int]) -> TestClient:
    async def take(request: Request) -> PlainTextResponse:
        sizes.append(len(await request.body()))
        return PlainTextResponse("taken")

    routes = [Route(path, take, methods=["POST"]) for path in ("/gradio_api/queue/join", "/gradio_api/upload")]
    return TestClient(Starlette(routes=routes, middleware=[Middleware(BodyLimit, upload_bytes=UPLOAD)]))


@pytest.mark.parametrize("is_declared", [True, False])
@pytest.mark.parametrize(
    ("path", "most"), [("/gradio_api/queue/join", MESSAGE_BYTES), ("/gradio_api/upload", UPLOAD + FRAMING_BYTES)]
)
def test_one_byte_more_than_the_limit_is_refused(
    client: TestClient, sizes: list[int], path: str, most: int, is_declared: bool
) -> None:
    for size in (most, most + 1):
        body = bytes(size)
        answer = client.post(path, content=body if is_declared else iter([body[: size // 2], body[size // 2 :]]))
        assert (answer.status_code, sizes) == (200 if size == most else 413, [most])
    assert answer.text.startswith(f"expected at most {most / 1e6:.1f} MB in this request")


@pytest.mark.parametrize("length", ["10", "-1", "x"])
def test_a_false_length_does_not_help(client: TestClient, sizes: list[int], length: str) -> None:
    answer = client.post("/gradio_api/queue/join", content=bytes(2 * MESSAGE_BYTES), headers={"Content-Length": length})
    assert (answer.status_code, sizes) == (413, [])
