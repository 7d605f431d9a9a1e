"""Names from users' files and configs, written such that no markup language reads them as its own."""

from __future__ import annotations

import re

# without the bracket that closes its text, nothing becomes a link or a picture
_MARKUP = re.compile(r"[\\`*<>|&~$]|\](?=[(\[:])")
_OUTER_UNDERSCORE = re.compile(r"(?<![^\W_])_|_(?![^\W_])")
_BLOCK_START = re.compile(r"^(?:[#+=](?=[#+=\s]|$)|-(?=[\-\s])|\d+(?=[.)](?:\s|$)))")


def printable(text: str) -> str:
    r"""One line of characters that can be printed and encoded.

    Line breaks, tabs and other control characters become spaces; what is not UTF-8 (half of a surrogate pair, as file
    names of other encodings have) becomes its escape, such as ``\udce9``.
    """
    encodable = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(character if character.isprintable() else " " for character in encodable)


def escape_markdown(text: str) -> str:
    """Escapes text for Markdown (CommonMark and GitHub's tables), also for a cell of a table.

    The rendered text is that of `printable`. Names of letters, digits, and single underscores, hyphens, dots or slashes
    inside a word stay as they are.
    """
    line = _MARKUP.sub(lambda match: "\\" + match[0], printable(text))
    line = _OUTER_UNDERSCORE.sub(r"\\_", line)
    return _BLOCK_START.sub(_escape_last, line)


def plain_text(text: str) -> str:
    """Escapes text for Matplotlib, which otherwise reads what is between two dollar signs as mathematics."""
    return printable(text).replace("$", r"\$")


def _escape_last(match: re.Match[str]) -> str:
    r"""`#` becomes `\#`; a number keeps its digits and has the point or parenthesis behind it escaped."""
    start = match[0]
    return start + "\\" if start.isdigit() else "\\" + start
