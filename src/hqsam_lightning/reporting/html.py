"""A report as one HTML page that holds its pictures, style and script, to send or to keep."""

from __future__ import annotations

import base64
import hashlib
import html
from collections.abc import Mapping, Sequence
from importlib.resources import files

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<link rel="icon" href="data:,">
<style>{style}</style>
</head>
<body>
{body}<dialog aria-label="Picture"><button type="button">Close</button></dialog>
<script>{script}</script>
</body>
</html>
"""
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
"""The browser runs our script alone, and fetches nothing."""


def to_page(
    title: str,
    lines: Sequence[str],
    pictures: Mapping[str, bytes],
    panels: Sequence[tuple[str, bytes]],
    folded: Sequence[tuple[str, Sequence[str]]] = (),
) -> str:
    """Makes the page.

    Args:
        title: of the browser's window.
        lines: Markdown without links.
        pictures: PNG files that the lines may show, by the name that they show them by; no other file is read.
        panels: PNG files to set below, with their headings.
        folded: further Markdown at the end, each part shown by its heading alone until it is opened.

    Returns:
        HTML that refers to no other file.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink", "reference"])
    parser.add_render_rule("image", _image)
    env = {"pictures": pictures}
    body = _render(parser, lines, env)
    for head, part in folded:
        body += f"<details><summary>{html.escape(head)}</summary>\n{_render(parser, part, env)}</details>\n"
    if panels:
        shown = [f"<h3>{html.escape(heading)}</h3>\n{_picture(heading, content)}\n" for heading, content in panels]
        body += f"<h2>Panels</h2>\n{''.join(shown)}"
    style, script = ((files(__package__) / name).read_text(encoding="utf-8") for name in ("page.css", "page.js"))
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    parts_of_page = {"policy": POLICY.format(digest=digest), "title": html.escape(title), "style": style}
    return PAGE.format(**parts_of_page, body=body, script=script)


def _image(renderer: RendererHTML, tokens: Sequence[Token], idx: int, options: OptionsDict, env: EnvType) -> str:
    """A picture of the page with its content; any other by its description."""
    text = renderer.renderInlineAsText(tokens[idx].children, options, env)
    content = env["pictures"].get(str(tokens[idx].attrs.get("src")))
    return html.escape(text) if content is None else _picture(text, content)


def _render(parser: MarkdownIt, lines: Sequence[str], env: EnvType) -> str:
    body: str = parser.render("\n".join(lines), env)
    # a table that is wider than the screen is scrolled with the keyboard, too
    return body.replace("<table>", '<div class="wide" tabindex="0"><table>').replace("</table>", "</table></div>")


def _picture(text: str, content: bytes) -> str:
    return f'<img alt="{html.escape(text)}" src="data:image/png;base64,{base64.b64encode(content).decode()}">'
