"""The Gradio page of the demo. What its events do is in `actions`; here is what they look like."""

from __future__ import annotations

import html
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from hqsam_lightning.errors import HQSamError
from hqsam_lightning.interactive.actions import HINT, Actions
from hqsam_lightning.interactive.pictures import cut_out_png, data_url, mask_png
from hqsam_lightning.interactive.session import Session

SWEEP_SECONDS, KEPT_SECONDS = 600, 3600
"""How often files of the page are looked at, and how long they are kept."""
READING_SECONDS = 30
"""How long a message stays."""
ADD, SUBTRACT = "adds", "subtracts"
NO_MASKS = "Masks"
EVENT: Mapping[str, Any] = {"show_progress": "minimal", "concurrency_id": "model", "api_visibility": "private"}
"""One event at a time uses the model; none of them is an API."""
INTRODUCTION = """# SAM and HQ-SAM
Click on an object to add it, right-click to subtract, drag a box around it. Model: {model}."""


def build_page(actions: Actions, model: str, capacity: int) -> gr.Blocks:
    """Builds the page.

    Args:
        actions: what its events do.
        model: name of the model, as Markdown.
        capacity: number of events that may wait; a person is told when there are more.
    """
    return _Page(actions).build(model, capacity)


class _Page:
    """The components of the page, and its events."""

    def __init__(self, actions: Actions) -> None:
        self.actions = actions

    def build(self, model: str, capacity: int) -> gr.Blocks:
        with gr.Blocks(title="HQ-SAM", analytics_enabled=False, delete_cache=(SWEEP_SECONDS, KEPT_SECONDS)) as page:
            self.session = gr.State(Session())
            gr.Markdown(INTRODUCTION.format(model=model))
            self.status = gr.Markdown(HINT, elem_id="status")
            with gr.Row():
                with gr.Column():
                    self._build_left()
                with gr.Column():
                    self._build_right()
            self.examples = gr.Gallery(
                [(photo.shown, photo.name) for photo in self.actions.examples],
                label="Examples",
                columns=6,
                height=240,
                allow_preview=False,
                interactive=False,
                buttons=[],
                elem_id="examples",
            )
            self._connect()
        page.queue(max_size=capacity)
        return page

    def _build_left(self) -> None:
        self.canvas = _canvas()
        with gr.Row():
            self.mode = gr.Radio([ADD, SUBTRACT], value=ADD, label="A click", scale=2, min_width=240, elem_id="mode")
            self.undo = gr.Button("Undo", min_width=100, elem_id="undo")
            self.clear = gr.Button("Clear", min_width=100, elem_id="clear")

    def _build_right(self) -> None:
        self.slider = gr.ImageSlider(
            label=NO_MASKS, format="jpeg", interactive=False, buttons=["fullscreen"], elem_id="slider"
        )
        views = self.actions.views
        self.view = gr.Radio(views, value=views[0], label="View", elem_id="view")
        with gr.Row():
            self.mask = gr.Button("Download mask", elem_id="mask")
            self.cut_out = gr.Button("Download cut-out", elem_id="cut_out")

    def _connect(self) -> None:
        steps: tuple[tuple[Any, Callable[..., Any], list[Any]], ...] = (
            (self.examples.select, self.on_example, [self.view]),
            (self.canvas.photo, self.on_photo, [self.view]),
            (self.canvas.prompt, self.on_prompt, [self.session, self.view, self.mode]),
            (self.undo.click, self.on_undo, [self.session, self.view]),
            (self.clear.click, self.on_clear, [self.session, self.view]),
            (self.view.change, self.on_view, [self.session, self.view]),
        )
        shown = [self.session, self.canvas, self.slider, self.status]
        for event, function, inputs in steps:
            event(function, inputs, shown, trigger_mode="multiple", show_progress_on=self.slider, **EVENT)
        self.canvas.refused(self.on_refused, **EVENT)
        self._connect_download(self.mask, self.on_mask)
        self._connect_download(self.cut_out, self.on_cut_out)

    def _connect_download(self, button: gr.Button, write: Callable[[Session], str]) -> None:
        """A button writes the file, then the browser follows the hidden button that has it."""
        name = f"{button.elem_id}_file"
        file = gr.DownloadButton(visible="hidden", elem_id=name)
        follow = f"() => document.querySelector('#{name}').click()"
        button.click(write, self.session, file, **EVENT).success(None, js=follow)

    def on_example(self, view: str, event: gr.SelectData) -> tuple[Any, ...]:
        with _politely():
            return self._show(self.actions.choose(event.index), view)

    def on_photo(self, view: str, event: gr.EventData) -> tuple[Any, ...]:
        with _politely():
            return self._show(self.actions.open(_said(event, "uploaded")), view)

    def on_refused(self, event: gr.EventData) -> None:
        with _politely():
            self.actions.refuse(_said(event, "size"))

    def on_prompt(self, session: Session, view: str, mode: str, event: gr.EventData) -> tuple[Any, ...]:
        subtracts = mode == SUBTRACT or _said(event, "secondary") is True
        with _politely():
            return self._show(self.actions.prompt(session, _said(event, "start"), _said(event, "end"), subtracts), view)

    def on_undo(self, session: Session, view: str) -> tuple[Any, ...]:
        with _politely():
            return self._show(session.undo(), view)

    def on_clear(self, session: Session, view: str) -> tuple[Any, ...]:
        with _politely():
            return self._show(session.clear(), view)

    def on_view(self, session: Session, view: str) -> tuple[Any, ...]:
        with _politely():
            return self._show(session, view)

    def on_mask(self, session: Session) -> str:
        with _politely():
            return self._write("mask.png", mask_png(self.actions.logits_of(session)))

    def on_cut_out(self, session: Session) -> str:
        with _politely():
            logits = self.actions.logits_of(session)
            return self._write("cut_out.png", cut_out_png(session.require_photo().pixels, logits))

    def _show(self, session: Session, view: str) -> tuple[Any, ...]:
        shown = self.actions.show(session, view)
        slider = gr.ImageSlider(None, label=NO_MASKS)
        if shown.comparison is not None:
            left, right, label, _ = shown.comparison
            slider = gr.ImageSlider((left, right), label=label)
        return session, _as_value(shown.photo), slider, shown.status

    def _write(self, name: str, content: bytes) -> str:
        """Writes a file of a fixed name where the page serves files from."""
        path = Path(tempfile.mkdtemp(dir=self.actions.folder)) / name
        path.write_bytes(content)
        return str(path)


def _canvas() -> gr.HTML:
    template, css, script = (
        files("hqsam_lightning.interactive").joinpath(f"canvas.{kind}").read_text() for kind in ("html", "css", "js")
    )
    return gr.HTML(
        _as_value(None),
        html_template=template,
        css_template=css,
        js_on_load=script,
        apply_default_css=False,
        elem_id="canvas",
    )


def _as_value(photo: np.ndarray | None) -> dict[str, Any]:
    """What the canvas shows: a picture, with its aspect to be as large as there is room."""
    return {} if photo is None else {"picture": data_url(photo), "aspect": photo.shape[1] / photo.shape[0]}


def _said(event: gr.EventData, name: str) -> object:
    """What the browser said in an event; it may be anything, or nothing."""
    return getattr(event, name, None)


@contextmanager
def _politely() -> Iterator[None]:
    """Shows an error of this package to the person, who goes on as before."""
    try:
        yield
    except HQSamError as error:
        raise gr.Error(
            html.escape(str(error)), title="Not possible", duration=READING_SECONDS, print_exception=False
        ) from error
