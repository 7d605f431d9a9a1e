"""report.html in a real browser: its tables and pictures are there, and the console stays empty."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import ROOT
from example_runs import make_masks, write_run
from hqsam_lightning.reporting.html import to_page
from hqsam_lightning.reporting.paper import read_paper_table
from hqsam_lightning.reporting.report_files import write_report
from hqsam_lightning.reporting.runs import group_runs, read_run
from hqsam_lightning.reporting.summary import Summary

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
)
# put behind the page: it leaves what the browser made of it in the title
PROBE = """<script>
const pictures = Array.from(document.images, image => image.naturalWidth);
const rows = Array.from(document.querySelectorAll("table"), table => table.rows.length);
const outside = Array.from(document.querySelectorAll("[src], link[href]"), e => e.src || e.href);
document.title = JSON.stringify({pictures, rows, outside: outside.filter(url => !url.startsWith("data:"))});
</script>"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of three recipes, with a picture of the runs and the paper's table."""
    folder = tmp_path_factory.mktemp("report")
    runs = []
    for number, rate in enumerate((1e-3, 1e-2, 1e-1)):
        speeds = {"sam": {"images_per_second": 9.0}, "hq": {"images_per_second": 8.0}}
        facts = {
            "trainable_parameters": {"sam": 0, "hq": 5000},
            "total_parameters": {"sam": 10000, "hq": 15000},
            "inference": speeds,
        }
        masks = make_masks(1, gain=0.1 * number)
        runs.append(write_run(folder / str(number), masks, facts, {"optimizer": {"lr": rate}}))
        shutil.copy(ROOT / "docs" / "quickstart.png", folder / str(number) / "results.png")
    paper = read_paper_table(ROOT / "experiments" / "table9_peft" / "table.yaml")
    summary = Summary(group_runs([read_run(run) for run in runs]))
    write_report(folder / "out", summary, paper, "python -m hqsam_lightning.report <b>'runs=[a]'</b>")
    return folder / "out" / "report.html"


def test_the_page_refers_to_no_other_file(page: Path) -> None:
    text = page.read_text()
    assert all(source.startswith("data:") for source in re.findall(r'(?:src|href)="([^"]*)"', text))
    assert "<b>" not in text, "a command is text"
    assert "<script" not in text


def test_headings_are_text(tmp_path: Path) -> None:
    shutil.copy(ROOT / "docs" / "quickstart.png", tmp_path / "a.png")
    text = to_page("<i>", ["a <u>b</u>"], tmp_path, [("<s>", tmp_path / "a.png")])
    assert not any(tag in text for tag in ("<i>", "<u>", "<s>"))


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
def test_a_browser_shows_tables_and_pictures_without_a_message(page: Path, tmp_path: Path) -> None:
    probed, picture = tmp_path / "probed.html", tmp_path / "page.png"
    probed.write_text(page.read_text() + PROBE)
    shown = browse(tmp_path, "--dump-dom", probed.as_uri())
    seen = json.loads(re.search(r"<title>(.*?)</title>", shown.stdout, re.S)[1])
    markdown = (page.parent / "report.md").read_text()
    assert len(seen["pictures"]) == markdown.count("![") + 3, "the plots, and a panel a recipe"
    assert all(width > 100 for width in seen["pictures"])
    assert len(seen["rows"]) == len(re.findall(r"^\| --- ", markdown, re.M))
    assert sum(seen["rows"]) == len(re.findall(r"^\|", markdown, re.M)) - len(seen["rows"])
    assert seen["outside"] == []
    result = browse(tmp_path, f"--screenshot={picture}", "--window-size=1300,4000", page.as_uri())
    for run in (shown, result):
        assert "CONSOLE" not in run.stderr, run.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


def browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
