"""report.html in a real browser: its tables and pictures are there, and the console stays empty."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pytest
from markdown_it import MarkdownIt

from conftest import ROOT
from example_runs import make_table, write_run
from hqsam_lightning.reporting.html import to_page
from hqsam_lightning.reporting.numbers import Summary
from hqsam_lightning.reporting.paper import read_paper_table
from hqsam_lightning.reporting.report_files import write_report
from hqsam_lightning.reporting.run_folders import read_run
from hqsam_lightning.reporting.runs import group_runs
from patience import PATIENCE

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr"),
)
# put behind the page, whose policy would not run it: it leaves what the browser made of the page in the title
PROBE = """<script>{
const pictures = Array.from(document.images, image => image.naturalWidth);
const rows = Array.from(document.querySelectorAll("table"), table => table.rows.length);
const outside = Array.from(document.querySelectorAll("[src], link[href]"), e => e.src || e.href);
const wide = document.documentElement.scrollWidth > window.innerWidth;
const table = document.querySelector("table");
const column = () => Array.from(table.tBodies[0].rows, row => row.cells[4].textContent);
const [head, orders] = [table.tHead.rows[0].cells[4], []];
for (let click = 0; click < 4; click++) {
  orders.push([head.getAttribute("aria-sort"), column()]);
  head.querySelector("button").click();
}
const dialog = document.querySelector("dialog");
document.querySelector("button.enlarge").click();
const enlarged = dialog.open && dialog.querySelector("img").naturalWidth;
dialog.click();
document.title = JSON.stringify({
  pictures, rows, wide, orders, enlarged, closed: !dialog.open,
  outside: outside.filter(url => !url.startsWith("data:")),
});
}</script>"""
POLICY = re.compile("<meta http-equiv=[^>]*>")


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
        table = make_table(1, gain=0.1 * number)
        runs.append(write_run(folder / str(number), table, facts, {"optimizer": {"lr": rate}}))
        shutil.copy(ROOT / "docs" / "quickstart.png", folder / str(number) / "results.png")
    paper = read_paper_table(ROOT / "experiments" / "table9_peft" / "table.yaml")
    summary = Summary(group_runs([read_run(run) for run in runs]))
    write_report(folder / "out", summary, paper, "python -m hqsam_lightning.report <b>'runs=[a]'</b>")
    return folder / "out" / "report.html"


def test_the_page_refers_to_no_other_file(page: Path) -> None:
    text = page.read_text()
    assert all(source.startswith("data:") for source in re.findall(r'(?:src|href)="([^"]*)"', text))
    assert "<b>" not in text, "a command is text"
    script = (files("hqsam_lightning.reporting") / "page.js").read_text()
    assert re.findall("<script.*?</script>", text, re.S) == [f"<script>{script}</script>"]


def test_the_policy_runs_that_script_alone(page: Path) -> None:
    text = page.read_text()
    digest = hashlib.sha256(re.search("<script>(.*?)</script>", text, re.S)[1].encode()).digest()
    (policy,) = POLICY.findall(text)
    assert "default-src 'none'; img-src data:;" in policy
    assert f"script-src 'sha256-{base64.b64encode(digest).decode()}'\"" in policy


def test_the_page_is_made_for_phones_and_keyboards(page: Path) -> None:
    text = page.read_text()
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    tables = text.count("<table>")
    assert tables == text.count('<div class="wide" tabindex="0"><table>') > 3, "each table scrolls in its own box"
    assert text.count("<details>") == 3, "the facts of each run are folded"
    assert text.count("<dialog ") == 1


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
        rows = (("sam", "sam"), *((name, "hq") for name in dict.fromkeys(HOSTILE)))
        tables = [make_table(number, name, 1, rows, metrics=tuple(HOSTILE[4:6])) for name in HOSTILE[:4]]
        facts = {"name": f"{names[0]} {number}", "sam": names[1], "command": names[2], "data": "\n".join(names)}
        facts |= {name: name for name in names}
        facts["inference"] = {name: {"images_per_second": 9.0} for name in ("sam", *HOSTILE)}
        facts["total_parameters"] = dict.fromkeys(("sam", *HOSTILE), 5000)
        runs.append(write_run(folder / str(number), pd.concat(tables), facts, {"optimizer": {names[3]: names[4]}}))
    summary = Summary(group_runs([read_run(run) for run in runs]))
    write_report(folder / "out", summary, None, "python -m hqsam_lightning.report ``a\n# b`")
    return folder / "out"


def test_names_are_shown_as_they_are(hostile_report: Path) -> None:
    text = (hostile_report / "report.html").read_text()
    text = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.S)
    tags = set(re.findall(r"<(\w+)", text))
    assert tags <= {
        *("html", "head", "meta", "title", "link", "style", "body", "h1", "h2", "h3", "p", "code", "div", "table"),
        *("thead", "tbody", "tr", "th", "td", "ul", "li", "img", "details", "summary", "dialog", "button"),
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
    probed.write_text(POLICY.sub("", page.read_text()) + PROBE)
    shown = browse(tmp_path, "--dump-dom", probed.as_uri())
    seen = json.loads(re.search(r"<title>(.*?)</title>", shown.stdout, re.S)[1])
    markdown = (page.parent / "report.md").read_text()
    assert len(seen["pictures"]) == markdown.count("![") + 3, "the plots, and a panel a recipe"
    assert all(width > 100 for width in seen["pictures"])
    assert len(seen["rows"]) == len(re.findall(r"^\| --- ", markdown, re.M))
    assert sum(seen["rows"]) == len(re.findall(r"^\|", markdown, re.M)) - len(seen["rows"])
    assert seen["outside"] == []
    assert seen["enlarged"] == seen["pictures"][0]
    assert seen["closed"]
    (none, original), (first, highest), (second, lowest), (third, again) = seen["orders"]
    assert (none, first, second, third) == (None, "descending", "ascending", None)
    assert original == again != highest
    numbers = [float(cell.split(" ")[0]) for cell in highest]
    assert numbers == sorted(numbers, reverse=True)
    assert [float(cell.split(" ")[0]) for cell in lowest] == sorted(numbers)
    result = browse(tmp_path, f"--screenshot={picture}", "--window-size=1300,4000", page.as_uri())
    for run in (shown, result):
        assert "CONSOLE" not in run.stderr, run.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on this machine")
def test_nothing_but_tables_is_wider_than_a_phone(page: Path, tmp_path: Path) -> None:
    """In a frame of a phone's width, since a browser's own window does not get that narrow."""
    source = html.escape(POLICY.sub("", page.read_text()) + PROBE.replace("document.title", "top.document.title"))
    (tmp_path / "phone.html").write_text(f'<title></title><iframe width="390" height="800" srcdoc="{source}"></iframe>')
    shown = browse(tmp_path, "--dump-dom", (tmp_path / "phone.html").as_uri())
    assert json.loads(html.unescape(re.search(r"<title>(.*?)</title>", shown.stdout, re.S)[1]))["wide"] is False


def browse(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [str(BROWSER), *FLAGS, f"--user-data-dir={folder / 'profile'}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE)
