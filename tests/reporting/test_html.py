"""report.html in a real browser: its tables and pictures are there, and the console stays empty."""

import dataclasses
import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from conftest import ROOT
from example_runs import make_masks, write_run
from hqsam_lightning.reporting.html import to_page
from hqsam_lightning.reporting.paper import read_paper_table
from hqsam_lightning.reporting.report_files import write_report
from hqsam_lightning.reporting.run_folders import read_run
from hqsam_lightning.reporting.runs import group_runs
from hqsam_lightning.reporting.summary import Summary
from patience import PATIENCE

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


def test_headings_are_text() -> None:
    text = to_page("<i>", ["a <u>b</u>"], {}, [("<s>", b"")])
    assert not any(tag in text for tag in ("<i>", "<u>", "<s>"))


def test_only_pictures_that_were_given_are_embedded(tmp_path: Path) -> None:
    """A picture in a name must not bring a file of the machine into the page."""
    secret = tmp_path / "secret.png"
    secret.write_bytes(b"secret")
    lines = [
        "![plot](recall.png)",
        "",
        f"![x]({secret})",
        "",
        "![y](../secret.png)",
        "",
        "![z](https://a.example/b.png)",
    ]
    text = to_page("Report", lines, {"recall.png": b"plot"}, [])
    assert re.findall(r"<img[^>]*>", text) == ['<img alt="plot" src="data:image/png;base64,cGxvdA==">']
    assert "c2VjcmV0" not in text
    assert "a.example" not in text


@pytest.mark.parametrize(
    "link", ["[a](javascript:alert(1))", "<javascript:alert(1)>", "[a][b]\n\n[b]: javascript:alert(1)", "[a](x.html)"]
)
def test_links_are_text(link: str) -> None:
    text = to_page("Report", link.split("\n"), {}, [])
    assert "<a" not in text


HOSTILE = [
    *("a|b", "`x`", "``", "<script>alert(1)</script>", "[a](javascript:alert(1))", "![x](/etc/hostname)", "$5_$10"),
    *("a\\", "# a", "a #", "- a", "1. a", "> a", "**a**", "_a_", "__init__", "~~a~~", "&lt;", "[a]: http://b.example"),
    *(
        "a\\|b",
        "http://a.example/?b=c&d",
        "=1+1",
        "\\frac{1}{",
        "^{",
        "caf\u00e9 \u4f60",
        "x" * 300,
        "_hidden",
        "a_b_c",
    ),
    *("a_b_c", "---"),
]


@pytest.fixture(scope="module")
def hostile_report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose every name, of runs, methods, sets, images and facts, is hostile."""
    folder = tmp_path_factory.mktemp("hostile")
    runs = []
    for number in range(3):
        names = HOSTILE[number::3]
        rows = (("sam", "sam"), *((name, "hq") for name in HOSTILE))
        masks = [
            dataclasses.replace(mask, sample_id=f"{name}/{mask.sample_id}")
            for name in HOSTILE[:4]
            for mask in make_masks(number, name, 1, rows)
        ]
        facts = {"name": f"{names[0]} {number}", "sam": names[1], "command": names[2], "data": "\n".join(names)}
        facts |= {name: name for name in names}
        facts["inference"] = {name: {"images_per_second": 9.0} for name in ("sam", *HOSTILE)}
        facts["total_parameters"] = dict.fromkeys(("sam", *HOSTILE), 5000)
        runs.append(write_run(folder / str(number), masks, facts, {"optimizer": {names[3]: names[4]}}))
    summary = Summary(group_runs([read_run(run) for run in runs]))
    write_report(folder / "out", summary, None, "python -m hqsam_lightning.report ``a\n# b`")
    return folder / "out"


def test_names_are_shown_as_they_are(hostile_report: Path) -> None:
    text = (hostile_report / "report.html").read_text()
    tags = set(re.findall(r"<(\w+)", re.sub(r"<style>.*?</style>", "", text, flags=re.S)))
    assert tags <= {
        *("html", "head", "meta", "title", "link", "style", "body", "h1", "h2", "h3", "p", "code", "div", "table"),
        *("thead", "tbody", "tr", "th", "td", "ul", "li", "img"),
    }
    assert text.count("<img") == 3, "the plots alone: recall, sweep, tradeoff"
    parts = {html.unescape(part) for part in re.findall(r"<(?:td|th|h[123])>(.*?)</", text)}
    assert {name for name in HOSTILE if name not in parts} == set()
    facts = [html.unescape(part) for part in re.findall(r"<li>(.*?)</li>", text)]
    assert {name for name in HOSTILE if f"{name.strip()}: {name}" not in facts} == set()
    assert "python -m hqsam_lightning.report ``a # b`" in html.unescape(text)


def test_names_are_shown_as_they_are_where_links_are_not_off(hostile_report: Path) -> None:
    """As GitHub shows report.md: no link, no picture but the plots, no HTML."""
    text = MarkdownIt("gfm-like", {"linkify": False}).render((hostile_report / "report.md").read_text())
    assert "<a " not in text
    assert re.findall(r'<img src="([^"]*)"', text) == ["recall.png", "sweep.png", "tradeoff.png"]
    assert not any(tag in text for tag in ("<script", "<em>", "<strong>", "<s>", "<blockquote", "<ol", "<hr"))


def test_the_plots_are_drawn_whatever_the_names(hostile_report: Path) -> None:
    assert {path.name for path in hostile_report.iterdir()} == {
        *("report.md", "report.html", "report.csv", "recall.png", "sweep.png", "tradeoff.png")
    }


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
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
