"""Bounds what a request may send to the page: Gradio bounds each uploaded file, but no other body."""

from __future__ import annotations

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MESSAGE_BYTES = 1_000_000
"""Of a request that is no upload: events of the page have less than a hundredth."""
FRAMING_BYTES = 100_000
"""That an upload has beside its file."""
UPLOAD_PATH = "/upload"


class BodyLimit:
    """ASGI middleware that answers 413 to a request with a larger body, of which no more than the limit is kept.

    Args:
        app: the application.
        upload_bytes: of an uploaded file.
    """

    def __init__(self, app: ASGIApp, upload_bytes: int) -> None:
        self.app = app
        self.upload_bytes = upload_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        is_upload = scope["path"].endswith(UPLOAD_PATH)
        most = self.upload_bytes + FRAMING_BYTES if is_upload else MESSAGE_BYTES
        declared = Headers(scope=scope).get("content-length", "")
        is_too_large = declared.isdecimal() and int(declared) > most
        taken = 0

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if is_too_large or taken > most:
                await _discard(message, receive)
                raise HTTPException(413, f"expected at most {most / 1e6:.1f} MB in this request; send less")
            return message

        return await self.app(scope, limited, send)


async def _discard(message: Message, receive: Receive) -> None:
    """Reads the rest of a body: a browser that is still sending does not look at an answer."""
    while message["type"] == "http.request" and message.get("more_body", False):
        message = await receive()
