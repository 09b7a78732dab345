"""The program `tagcast`: global options, the list of commands, and what becomes of errors."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup
from typer.exceptions import Abort, TyperException

from tagcast.cli.frame import BLOCKED, FAILED, INTERRUPTED, REFUSED, Frame, language
from tagcast.cli.trouble import known, usage
from tagcast.kit.errors import Refused, TagcastError

# command -> (file here, its function or Typer). Imported when called, so that `tagcast --version` is quick.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo", "demo"),
    "init": ("home", "init"),
    "account": ("account", "app"),
    "contacts": ("contacts", "app"),
    "events": ("events", "app"),
    "lake": ("lake", "app"),
    "tags": ("tags", "app"),
    "upkeep": ("upkeep", "app"),
    "features": ("features", "app"),
    "group": ("group", "app"),
    "segment": ("segment_analysis", "app"),
    "rule": ("tag_rules", "app"),
    "consent": ("consent", "app"),
    "caps": ("caps", "app"),
    "quiet": ("quiet", "app"),
    "broadcast": ("broadcast_all", "app"),
    "post": ("post", "app"),
    "media": ("media", "app"),
    "report": ("report", "app"),
    "serve": ("server", "serve"),
    "worker": ("server", "run"),
    "sandbox": ("sandbox", "app"),
    "doctor": ("doctor", "doctor"),
    "migrate": ("home", "migrate"),
    "key": ("home", "key"),
    "bench": ("bench", "app"),
}

# Refusals that come of consent, caps and quotas, beside those of `compliance` itself.
BLOCKING = frozenset({"broadcasts.nobody"})

# Global options may stand anywhere on the line; these take a value.
FLAGS = {"--json", "--yes", "-y"}
VALUED = {"--home", "--lang"}


class Commands(TyperGroup):
    """The commands, each imported on first use."""

    def list_commands(self, ctx: object) -> list[str]:
        """All names, in the order of a day's work."""
        return list(COMMANDS)

    def get_command(self, ctx: object, cmd_name: str):  # type: ignore[no-untyped-def]  # typer's base class is private
        """The command of a name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        found = getattr(import_module(f"tagcast.cli.{module}"), name)
        if not isinstance(found, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command(cmd_name)(found)
            found = alone
        found._add_completion = False
        command = typer.main.get_command(found)
        command.name = cmd_name
        _flow(command)
        return command


def _flow(command: Any) -> None:
    """Let the paragraphs of a help text, broken into lines in the source, flow to the width of the terminal."""
    if command.help:
        command.help = "\n\n".join(" ".join(part.split()) for part in command.help.split("\n\n"))
    for one in getattr(command, "commands", {}).values():
        _flow(one)


app = typer.Typer(
    cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich"
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"tagcast {version('tagcast')}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    home: Annotated[Path | None, typer.Option(help="Folder of the database and the key (TAGCAST_HOME).")] = None,
    json: Annotated[bool, typer.Option("--json", help="Data as JSON.")] = False,
    lang: Annotated[Literal["zh", "en"] | None, typer.Option(help="Language of messages; else from LANG.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True)] = False,
) -> None:
    """Tagcast 标签群发: talk to the right people on WeChat, and prove what it did.

    The options below may stand anywhere on the line.
    """
    ctx.obj = Frame(home, json, language(lang, os.environ), yes)


def to_front(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """(global options, the rest) of a command line; nothing after `--` is touched."""
    front: list[str] = []
    rest: list[str] = []
    left = list(arguments)
    while left:
        argument = left.pop(0)
        if argument == "--":
            return front, [*rest, argument, *left]
        if argument in FLAGS or argument.partition("=")[0] in VALUED:
            front.append(argument)
            if argument in VALUED and left:
                front.append(left.pop(0))
        else:
            rest.append(argument)
    return front, rest


def _given(front: Sequence[str], name: str) -> str | None:
    for position, argument in enumerate(front):
        if argument.startswith(f"{name}="):
            return argument.partition("=")[2]
        if argument == name and position + 1 < len(front):
            return front[position + 1]
    return None


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line; the exit code."""
    front, rest = to_front(sys.argv[1:] if arguments is None else arguments)
    frame = Frame(json="--json" in front, lang=language(_given(front, "--lang"), os.environ))
    try:
        ended = app(args=[*front, *rest], prog_name="tagcast", standalone_mode=False)
    except SystemExit as end:
        ended = end.code
    except TyperException as error:
        ended = _usage(frame, error)
    except (KeyboardInterrupt, Abort):
        ended = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        ended = FAILED
    except Exception as error:  # noqa: BLE001 - the last line of defence
        ended = _failed(frame, error)
    if ended == INTERRUPTED:
        frame.say("\nInterrupted. What was committed stands.", "\n已中断，已提交的内容保留。")
    return ended if isinstance(ended, int) else 0


def _blocks(problem: TagcastError) -> bool:
    ruled = isinstance(problem, Refused) and problem.code.startswith("compliance.")
    return ruled or problem.code in BLOCKING


def _failed(frame: Frame, error: Exception) -> int:
    if (problem := known(error)) is not None:
        frame.problem(problem)
        return BLOCKED if _blocks(problem) else REFUSED
    if os.environ.get("TAGCAST_LOG_LEVEL", "").upper() == "DEBUG":
        raise error
    # No traceback: it may hold personal data.
    frame.say(
        f"Something unexpected went wrong ({type(error).__name__}). Nothing was committed by the failing step.\n"
        "Run it again with TAGCAST_LOG_LEVEL=DEBUG to see where.",
        f"发生意外错误（{type(error).__name__}），出错的步骤没有写入任何内容。\n"
        "请设置 TAGCAST_LOG_LEVEL=DEBUG 后重试以查看位置。",
    )
    return FAILED


def _usage(frame: Frame, error: TyperException) -> int:
    place = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        print(error.format_message(), file=sys.stderr)
    else:
        frame.problem(usage(error.format_message(), place.command_path if place is not None else "tagcast"))
    return REFUSED
