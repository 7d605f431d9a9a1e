"""`hqsam demo` in a real browser, along the paths of a person, of a clumsy one, and of one who means harm."""

import io
import json
import os
import re
import selectors
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import numpy as np
import pytest
from PIL import Image

from bombs import bomb
from hqsam_lightning.heads import HQHead
from hqsam_lightning.inference import HQSam
from hqsam_lightning.inference.loading import FULL_HEAD_CONFIG
from hqsam_lightning.inference.model import Origin
from patience import PATIENCE

pytest.importorskip("gradio", reason="no gradio: pip install 'hqsam-lightning[demo]'")
playwright = pytest.importorskip("playwright.sync_api", reason="no playwright: pip install 'hqsam-lightning[dev]'")

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
MILLISECONDS = PATIENCE * 1000
BUSY = """
import httpx, runpy

def head(*arguments, **options):
    raise httpx.ReadTimeout("what Gradio's own look at its page gets on a busy machine")

httpx.head = head
runpy.run_module("hqsam_lightning.demo", run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the demo of a head that learned nothing; it is ended by a signal, and leaves nothing."""
    folder = tmp_path_factory.mktemp("demo")
    plain = HQSam.from_pretrained("nano")
    origin = Origin(plain.origin.sam, FULL_HEAD_CONFIG)
    HQSam(plain.sam, HQHead(plain.sam, seed=3), origin=origin).save_pretrained(folder / "head")
    (folder / "tmp").mkdir()
    command = [sys.executable, "-c", BUSY, f"model={folder / 'head'}", "limits.upload_megabytes=1"]
    # a proxy that is not there: the page is on this machine
    environment = {**os.environ, "TMPDIR": str(folder / "tmp"), "http_proxy": "http://127.0.0.1:1"}
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        yield re.search(r"http://127\.0\.0\.1:\d+", first_line(process))[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == 128 + signal.SIGTERM
    assert list((folder / "tmp").glob("hqsam_demo_*")) == []


def first_line(process: subprocess.Popen) -> str:
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        assert selector.select(PATIENCE), "the demo did not start"
    return process.stdout.readline()


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as api:
        started = api.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"], timeout=MILLISECONDS)
        yield started
        started.close()


@pytest.fixture
def page(browser, server: str) -> Iterator:
    """The page with the cat; its console stays empty, and it asks no other machine for anything."""
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    opened.set_default_timeout(MILLISECONDS)
    problems: list[str] = []
    opened.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("request", lambda each: problems.append(each.url) if not is_own(each.url, server) else None)
    opened.goto(server)
    opened.locator("#examples button", has_text="chelsea").click()
    wait_for(opened, "chelsea, 451 x 300 pixels. Click on the object")
    yield opened
    opened.close()
    assert [each for each in problems if "413" not in each] == []


def is_own(url: str, server: str) -> bool:
    return url.startswith((f"{server}/", "data:", "blob:"))


def wait_for(page, status: str) -> None:
    page.locator("#status", has_text=status).wait_for()


def click(page, x: float, y: float, button: str = "left") -> None:
    """Clicks in fractions of the photo."""
    frame = page.locator("#canvas img").bounding_box()
    page.mouse.click(frame["x"] + x * frame["width"], frame["y"] + y * frame["height"], button=button)


def drag(page, start: tuple[float, float], end: tuple[float, float]) -> None:
    frame = page.locator("#canvas img").bounding_box()
    (x0, y0), (x1, y1) = ((frame["x"] + x * frame["width"], frame["y"] + y * frame["height"]) for x, y in (start, end))
    page.mouse.move(x0, y0)
    page.mouse.down()
    page.mouse.move(x1, y1, steps=3)
    page.mouse.up()


def after(page, act) -> str:
    """The photo with its prompts, once an action has changed it."""
    before = page.locator("#canvas img").get_attribute("src")
    act()
    page.wait_for_function("before => document.querySelector('#canvas img').src !== before", arg=before)
    return page.locator("#canvas img").get_attribute("src")


def download(page, button: str) -> tuple[str, np.ndarray]:
    with page.expect_download() as found:
        page.locator(button).click()
    return found.value.suggested_filename, np.asarray(Image.open(found.value.path()))


def refusal(page, said: str) -> str:
    """The message that the page shows, by a part of it; it goes away by itself."""
    return page.locator(".toast-body", has_text=said).first.inner_text()


def upload(page, name: str, content: bytes) -> None:
    page.locator("#canvas input[type=file]").set_input_files({"name": name, "mimeType": "image/png", "buffer": content})


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_person_clicks_draws_looks_and_downloads(page) -> None:
    untouched = page.locator("#canvas img").get_attribute("src")
    clicked = after(page, lambda: click(page, 0.5, 0.4))
    wait_for(page, "IoU of SAM and HQ-SAM")
    assert page.locator("#slider img").count() == 2
    frame = page.locator("#canvas img").bounding_box()
    page.mouse.move(frame["x"] + 20, frame["y"] + 20)
    page.mouse.down()
    page.mouse.move(frame["x"] + 120, frame["y"] + 70, steps=3)
    assert page.locator("#canvas .band").bounding_box()["width"] == pytest.approx(100, abs=6)
    page.mouse.move(frame["x"] + 21, frame["y"] + 20)
    # back where it started it is a click
    assert after(page, page.mouse.up) != clicked
    assert after(page, lambda: page.locator("#undo").click()) == clicked
    subtracted = after(page, lambda: click(page, 0.1, 0.1, "right"))
    boxed = after(page, lambda: drag(page, (0.3, 0.2), (0.8, 0.9)))
    assert len({untouched, clicked, subtracted, boxed}) == 4
    assert after(page, lambda: page.locator("#undo").click()) == subtracted
    assert after(page, lambda: page.locator("#undo").click()) == clicked
    # the switch does what the right button does
    page.locator("#mode label", has_text="subtracts").click()
    assert after(page, lambda: click(page, 0.1, 0.1)) == subtracted
    assert after(page, lambda: drag(page, (0.3, 0.2), (0.8, 0.9))) == boxed
    page.locator("#view label", has_text="difference").click()
    wait_for(page, "orange: SAM alone")
    page.locator("#view label", has_text="boundary").click()
    page.locator("#slider", has_text="SAM | HQ-SAM").wait_for()
    name, mask = download(page, "#mask")
    assert (name, mask.shape, set(np.unique(mask))) == ("mask.png", (300, 451), {0, 255})
    name, cut_out = download(page, "#cut_out")
    assert (name, cut_out.shape) == ("cut_out.png", (300, 451, 4))
    assert np.array_equal(cut_out[..., 3] > 127, mask > 0)
    assert len(np.unique(cut_out[..., 3])) > 100, "soft"
    assert after(page, lambda: page.locator("#clear").click()) == untouched
    wait_for(page, "Click on the object")


def test_a_clumsy_person_is_told_and_goes_on(page) -> None:
    page.locator("#mask").click()
    assert "click on the object" in refusal(page, "expected a prompt first")
    page.locator("#undo").click()
    for content, said in (
        (b"just text", "expected an image file of format JPEG, PNG"),
        (bomb(20_000), "got 20000x20000 in photo.png"),
        (bytes(2_000_000), "expected a photo of at most 1 MB; got 2.0 MB"),
    ):
        upload(page, "photo.png", content)
        assert "/tmp" not in refusal(page, said)
    wait_for(page, "chelsea, 451 x 300 pixels. Click on the object")
    # two clicks in a row, and a drag that ends outside of the photo
    click(page, 0.5, 0.4)
    click(page, 0.6, 0.4)
    drag(page, (0.5, 0.5), (1.2, 0.9))
    clicked = after(page, lambda: click(page, 0.2, 0.2))
    for _ in range(4):
        after(page, lambda: page.locator("#undo").click())
    wait_for(page, "Click on the object")
    assert clicked != page.locator("#canvas img").get_attribute("src")


def test_a_path_as_the_name_of_a_file_is_a_name(page) -> None:
    upload(page, "../../../<b>etc</b>/passwd.png", png(np.full((50, 60, 3), 200, np.uint8)))
    wait_for(page, "60 x 50 pixels. Click on the object")
    assert "/" not in page.locator("#status strong").inner_text()
    assert page.locator("#status b").count() == 0


def test_another_session_has_its_own_photo(page, browser, server: str) -> None:
    other = browser.new_page()
    other.set_default_timeout(MILLISECONDS)
    other.goto(server)
    other.locator("#examples button", has_text="coffee").click()
    wait_for(other, "coffee, 600 x 400 pixels. Click on the object")
    other.close()
    click(page, 0.5, 0.5)
    wait_for(page, "chelsea, 451 x 300 pixels; masks in")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../../etc/passwd", "http://127.0.0.1:1/x.png", None, 3, ["/etc/passwd"]]
)
def test_a_path_that_a_browser_makes_up_is_refused(server: str, path: object) -> None:
    assert "expected a photo that was uploaded to this page" in json.dumps(trigger(server, "photo", {"uploaded": path}))


def test_files_of_the_machine_are_not_served(server: str) -> None:
    for path in ("/etc/passwd", str(Path(__file__).resolve())):
        with pytest.raises(HTTPError) as refused:
            urlopen(f"{server}/gradio_api/file={quote(path)}", timeout=PATIENCE)
        assert refused.value.code in (403, 404)
        refused.value.close()


@pytest.mark.parametrize("is_declared", [True, False])
def test_a_message_without_end_is_refused(server: str, is_declared: bool) -> None:
    """Also one that does not say how long it is."""
    body = [b'{"data": ["' + b"x" * 1_500_000 + b'"]}']
    headers = {"Content-Type": "application/json"}
    asked = Request(f"{server}/gradio_api/queue/join", body[0] if is_declared else iter(body), headers)
    with pytest.raises(HTTPError) as refused:
        urlopen(asked, timeout=PATIENCE)
    assert refused.value.code == 413
    assert json.load(refused.value)["detail"].startswith("expected at most 1.0 MB in this request")
    refused.value.close()


def trigger(server: str, event: str, data: dict[str, object]) -> object:
    """Sends an event of the canvas as the page does; returns what the server answers at the end."""
    with urlopen(f"{server}/config", timeout=PATIENCE) as answer:
        config = json.load(answer)
    canvas = next(each["id"] for each in config["components"] if each["props"].get("elem_id") == "canvas")
    chosen = next(each for each in config["dependencies"] if [canvas, event] in each["targets"])
    session = uuid.uuid4().hex
    body = {
        **{"data": [None] * len(chosen["inputs"]), "event_data": data, "fn_index": chosen["id"]},
        **{"session_hash": session, "trigger_id": canvas},
    }
    headers = {"Content-Type": "application/json"}
    urlopen(Request(f"{server}/gradio_api/queue/join", json.dumps(body).encode(), headers), timeout=PATIENCE).close()
    with urlopen(f"{server}/gradio_api/queue/data?session_hash={session}", timeout=PATIENCE) as stream:
        for line in stream:
            message = json.loads(line.removeprefix(b"data:")) if line.startswith(b"data:") else {}
            if message.get("msg") == "process_completed":
                return message
    raise AssertionError("no answer")
