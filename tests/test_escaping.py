"""Names are shown as they are, whatever markup they look like."""

import html
import re

import pytest
from markdown_it import MarkdownIt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from hqsam_lightning.escaping import escape_markdown, plain_text, printable

NAMES = [
    "quickstart_42",
    "a/b-c.d_e",
    "cost_$5_$10",
    r"back\slash \* \$1$ \\",
    "**bold** __strong__ _em_ ~~gone~~ `code`",
    "![x](secret.png) [link](javascript:alert(1)) [a][b] [c]: d",
    "<script>alert(1)</script> &amp; <https://a.b>",
    "a|b||c",
    "# heading",
    "- item",
    "1. first",
    "12) twelfth",
    "+",
    "two\nlines\r\n\tand tab",
    "caf\udce9.jpg",
    "写真_é_",
]


def rendered(markdown: str) -> str:
    """The text of a page, where it has no other element than the expected paragraph or cell."""
    page = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(markdown)
    found = re.fullmatch(r"(?s)<p>(.*)</p>\n", page) or re.search(r"<td>(.*)</td>", page)
    assert found is not None, page
    return html.unescape(found[1])


@pytest.mark.parametrize("name", NAMES)
def test_markdown_shows_the_name(name: str) -> None:
    assert rendered(escape_markdown(name)) == printable(name)
    assert rendered(f"| head |\n| --- |\n| {escape_markdown(name)} |\n") == printable(name)


def test_ordinary_names_are_left_alone() -> None:
    numbers = ("75.0 / 37.5", "+25.0 [25.0, 25.0]", "-", "1,333")
    for name in (*numbers, "quickstart_42", "a/b-c.d_e", "hq (HQ logits)", "python -m x.y a=[1, 2]"):
        assert escape_markdown(name) == plain_text(name) == name


@pytest.mark.parametrize("name", [*NAMES, "$", "$$", r"$\frac{", "$x$ and $y$", r"\$"])
def test_matplotlib_shows_the_name(name: str) -> None:
    figure = Figure()
    text = figure.text(0, 0, plain_text(name))
    assert text._preprocess_math(text.get_text()) == (printable(name), False)
    if name.isascii():
        FigureCanvasAgg(figure).draw()


def test_printable_text_is_one_line_that_can_be_encoded() -> None:
    assert printable("a\nb\x1b[31mc\u202e\udce9") == r"a b [31mc \udce9"
