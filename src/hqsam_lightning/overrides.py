"""Values quoted for Hydra's override grammar."""

from __future__ import annotations

from typing import Any

from hydra.core.override_parser.types import Quote, QuotedString


def quote_override(key: str, value: Any) -> str:
    """Writes an override that Hydra's grammar reads as this key and value.

    Args:
        key: may begin with ``+`` or ``++``.
        value: text, number, bool, None, or lists and mappings of them. A ``${`` in a text stays plain text.
    """
    return f"{key}={quote_value(value)}"


def quote_value(value: Any) -> str:
    """Writes a value in Hydra's override grammar; see `quote_override`."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return QuotedString(value.replace("${", r"\${"), Quote.single).with_quotes()
    if isinstance(value, dict):
        return "{" + ",".join(f"{name}:{quote_value(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(quote_value, value)) + "]"
    return repr(value)
