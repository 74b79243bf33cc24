"""Markdown for Dagster's UI."""

from __future__ import annotations

import base64


def picture(png: bytes, text: str) -> str:
    """A PNG inside Markdown."""
    return f"![{text}](data:image/png;base64,{base64.b64encode(png).decode()})"
