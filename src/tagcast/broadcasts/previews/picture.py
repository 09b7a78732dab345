"""Previews as one HTML page of phones: no script, no network, light and dark, everything in it escaped."""

import base64
import hashlib
import re
from collections.abc import Sequence
from functools import cache
from html import unescape
from importlib import resources

import jinja2

from tagcast.broadcasts.previews.looking import Preview
from tagcast.kit.errors import Lang
from tagcast.kit.shipped import read_toml

THEMES = ("auto", "light", "dark")


def render(previews: Sequence[Preview], name: str, lang: Lang = "zh", theme: str = "auto") -> str:
    """The page. `theme`: light, dark, or as the reader likes it."""
    kept = words()
    return (
        _environment()
        .get_template("picture.html")
        .render(
            previews=previews,
            name=name,
            lang=lang,
            theme=theme,
            style=_style(),
            L=lambda word: kept[word][lang] if word in kept else word,
            paragraphs=paragraphs,
        )
    )


@cache
def policy() -> str:
    """The content security policy of the page: its own style and nothing else."""
    style = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'self'; sandbox"
    )


@cache
def words() -> dict[str, dict[Lang, str]]:
    """Word → {zh, en}."""
    return read_toml("broadcasts", "previews", "words.toml")


def paragraphs(html: str) -> list[str]:
    """The lines of an article's body, as text."""
    return [unescape(re.sub(r"<[^>]*>", "", one)) for one in re.findall(r"<p>(.*?)</p>", html, re.DOTALL)]


@cache
def _style() -> str:
    return resources.files("tagcast.broadcasts.previews").joinpath("pages", "picture.css").read_text("utf-8")


@cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("tagcast.broadcasts.previews", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
