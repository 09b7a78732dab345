"""Data files that ship beside the code."""

import tomllib
from importlib import resources
from typing import Any


def read_toml(module: str, *path: str) -> dict[str, Any]:
    """A TOML file of a module of Tagcast, e.g. `read_toml("accounts", "profiles", "article.toml")`; not kept."""
    return tomllib.loads(resources.files("tagcast").joinpath(module, *path).read_text("utf-8"))
