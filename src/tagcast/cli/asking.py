"""What `tagcast account add` asks when it runs on a terminal and was not told: each value with where to find it."""

import sys
from functools import cache
from typing import Any

import typer

from tagcast import accounts
from tagcast.cli.frame import Frame
from tagcast.kit.errors import Invalid
from tagcast.kit.shipped import read_toml

KINDS = ("wecom", "official", "service", "custom")
HIDDEN = frozenset({"secret"})
LONG = 20  # a finding of more characters is told once


def can_ask() -> bool:
    """Whether somebody sits at a terminal."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(frame: Frame, given: dict[str, Any]) -> dict[str, Any]:
    """`given` with what was missing, asked for in the order of the platform's console."""
    answers = dict(given)
    if not answers["kind"]:
        answers["kind"] = _kind(frame)
    if not answers["name"]:
        answers["name"] = _prompt(frame, _texts()["name"])
    family = "official" if answers["kind"] == "service" else answers["kind"]
    rows = _texts().get(family, {})
    if before := rows.get("before"):
        frame.say(before["en"], before["zh"])
    for field, row in rows.items():
        if field == "before" or answers.get(field):
            continue
        if field == "agentid":
            answers[field] = _number(_prompt(frame, row, default=""))
        else:
            answers[field] = _value(frame, answers, field, row)
    return answers


def show(frame: Frame, health: accounts.Health) -> None:
    """The checklist for people: ✓ well, ✗ missing, ! of use for some things, – not tried; each with what to click.

    With something missing it is part of the error, on stderr.
    """
    out = sys.stdout if health.ok else sys.stderr
    marks = {"ok": "✓", "fail": "✗", "warn": "!", "open": "–"}
    told: set[str] = set()
    for item in health.items:
        what, found, remedy = item.told(frame.lang)
        if found in told and len(found) > LONG:
            found = "同上" if frame.lang == "zh" else "the same"
        told.add(found)
        code = f" ({item.errcode})" if item.errcode else ""
        print(f"{marks[item.state]} {what}{'：' if frame.lang == 'zh' else ': '}{found}{code}", file=out)
        if remedy:
            print(f"    {remedy}", file=out)


def _value(frame: Frame, answers: dict[str, Any], field: str, row: dict[str, str]) -> str:
    """An answer; one that cannot be right is told at once, and asked for again."""
    while True:
        answer = _prompt(frame, row, hide=field in HIDDEN)
        shape = accounts.shape_of(answers["kind"]) if field in ("appid", "corpid") else None
        if shape is None or answers["base_url"] or shape.fullmatch(answer):
            return answer
        frame.problem(Invalid("accounts.bad_field", field=field, value=answer))


def _kind(frame: Frame) -> str:
    while True:
        answer = _prompt(frame, _texts()["kind"]).strip()
        if answer in KINDS:
            return answer
        if answer.isdigit() and 1 <= int(answer) <= len(KINDS):
            return KINDS[int(answer) - 1]


def _prompt(frame: Frame, row: dict[str, str], *, hide: bool = False, default: str | None = None) -> str:
    text = row["zh" if frame.lang == "zh" else "en"]
    answer = typer.prompt(text, hide_input=hide, default=default, show_default=False, err=True)
    return str(answer).strip()


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


@cache
def _texts() -> dict[str, Any]:
    return read_toml("cli", "asking.toml")
