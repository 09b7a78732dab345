"""The errors a user can cause or meet. The code says what; the sentences are data.

    TagcastError
    ├── Invalid      422  the input cannot be right
    ├── NotFound     404  the thing named does not exist here
    ├── Conflict     409  it would contradict what is there, or what moved meanwhile
    ├── Refused      403  a rule or a limit forbids it
    └── Unavailable  503  something that we need does not answer

A code is `module.name`; its sentence and remedy, Chinese and English, stand in `tagcast/<module>/texts.toml`.
"""

from functools import cache
from typing import ClassVar, Literal

from tagcast.kit.shipped import read_toml

Lang = Literal["zh", "en"]


@cache
def _texts(module: str) -> dict[str, dict[str, str]]:
    return read_toml(module, "texts.toml")


class TagcastError(Exception):
    """An error with a stable code, parameters, and a sentence and a remedy in two languages."""

    status: ClassVar[int] = 500

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code = code
        self.params = params

    def text(self, lang: Lang = "en") -> str:
        """What is wrong, naming the thing."""
        return self._sentence(lang)

    def remedy(self, lang: Lang = "en") -> str:
        """What to do about it."""
        return self._sentence(f"{lang}_remedy")

    def _sentence(self, which: str) -> str:
        module, _, name = self.code.partition(".")
        return _texts(module)[name][which].format(**self.params)

    def __str__(self) -> str:
        return f"{self.text()} {self.remedy()}"


class Invalid(TagcastError):
    """The input cannot be right."""

    status = 422


class NotFound(TagcastError):
    """The thing named does not exist in this workspace."""

    status = 404


class Conflict(TagcastError):
    """It would contradict what is there, or what moved meanwhile."""

    status = 409


class Refused(TagcastError):
    """A rule or a limit forbids it."""

    status = 403


class Unavailable(TagcastError):
    """Something that we need does not answer."""

    status = 503
