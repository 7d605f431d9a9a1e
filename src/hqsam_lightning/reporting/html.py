"""A report as one HTML page that holds its pictures, to send or to keep."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

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


class _Renderer(RendererHTML):
    """Renders pictures of `pictures` with their content, and others by their description."""

    pictures: Mapping[str, bytes]

    def image(self, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
        """Renders one picture."""
        token = tokens[idx]
        text = self.renderInlineAsText(token.children, options, env) if token.children else ""
        content = self.pictures.get(str(token.attrs.get("src")))
        return html.escape(text) if content is None else _picture(text, content)


def to_page(
    title: str, lines: Sequence[str], pictures: Mapping[str, bytes], panels: Sequence[tuple[str, bytes]]
) -> str:
    """Makes the page.

    Args:
        title: of the browser's window.
        lines: Markdown without links.
        pictures: PNG files that the lines may show, by the name that they show them by; no other file is read.
        panels: PNG files to set below, with their headings.

    Returns:
        HTML that refers to no other file.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink", "reference"])
    parser.renderer = renderer = _Renderer(parser)
    renderer.pictures = pictures
    body = parser.render("\n".join(lines))
    body = body.replace("<table>", '<div class="wide"><table>').replace("</table>", "</table></div>")
    shown = "".join(f"<h3>{html.escape(heading)}</h3>\n{_picture(heading, content)}\n" for heading, content in panels)
    shown = f"<h2>Panels</h2>\n{shown}" if panels else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{html.escape(title)}</title>\n'
        f'<link rel="icon" href="data:,">\n<style>{STYLE}</style>\n</head>\n<body>\n{body}{shown}</body>\n</html>\n'
    )


def _picture(text: str, content: bytes) -> str:
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{base64.b64encode(content).decode()}">'
