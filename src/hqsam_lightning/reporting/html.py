"""A report as one HTML page that holds its pictures, to send or to keep."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence
from pathlib import Path

from markdown_it import MarkdownIt

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 76rem; margin: 2rem auto; padding: 0 1rem; color: #1b1f24; }
h1, h2, h3 { line-height: 1.25; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: 1rem 0; }
th, td { border-bottom: 1px solid #d0d7de; padding: .3rem .7rem; text-align: left; white-space: nowrap; }
tbody tr:hover { background: #f3f6f9; }
code { background: #f3f6f9; padding: .1rem .3rem; overflow-wrap: anywhere; }
img { max-width: 100%; height: auto; }
"""


def to_page(title: str, lines: Sequence[str], folder: Path, panels: Sequence[tuple[str, Path]]) -> str:
    """Makes the page.

    Args:
        title: of the browser's window.
        lines: Markdown, whose pictures are PNG files named relative to a folder.
        folder: that folder.
        panels: pictures to set below, with their headings.

    Returns:
        HTML that refers to no other file.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    body = parser.render("\n".join(lines))
    body = re.sub(r'src="([^"]+)"', lambda match: f'src="{_data_uri(folder / match[1])}"', body)
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    pictures = "".join(
        f'<h3>{html.escape(heading)}</h3>\n<img alt="{html.escape(heading)}" src="{_data_uri(path)}">\n'
        for heading, path in panels
    )
    shown = f"<h2>Panels</h2>\n{pictures}" if panels else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        f'<link rel="icon" href="data:,">\n<style>{STYLE}</style>\n</head>\n<body>\n{body}{shown}</body>\n</html>\n'
    )


def _data_uri(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
