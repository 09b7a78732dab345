"""What every command uses: the global options, opening a home, and printing for people and for programs."""

import getpass
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, date, datetime, tzinfo
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeGuard, cast
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
import typer

from tagcast.kit import clock
from tagcast.kit.errors import Invalid, Lang, Refused, TagcastError
from tagcast.kit.shipped import read_toml

if TYPE_CHECKING:  # loaded when a home is opened: `--version` and `--help` stay quick
    from tagcast.kit.settings import Settings
    from tagcast.kit.uow import Runtime, Work

# Numbers that name something: they are written without separators, so that they can be copied.
NAMES = frozenset({"id", "number", "seq", "agentid", "account", "tag", "parent", "joined_tag", "workspace", "pid"})

_EARLIEST_MS = 100_000_000_000

_SHORT = 24
"""Columns up to so wide are not wrapped."""

DONE, FAILED, REFUSED, PARTLY_SENT, BLOCKED = range(5)
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Frame:
    """The global options of one call."""

    home: Path | None = None
    json: bool = False
    lang: Lang = "en"
    yes: bool = False

    @staticmethod
    def of(ctx: typer.Context) -> "Frame":
        """The frame of the running command."""
        return cast(Frame, ctx.find_object(Frame) or Frame())

    def settings(self, **flags: object) -> "Settings":
        """The settings with this call's flags. Raises Invalid."""
        import tomllib

        from tagcast.kit import settings

        try:
            found = settings.load(home=self.home, **flags)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise Invalid("cli.bad_config", file="tagcast.toml", reason=str(error)) from None
        except OSError as error:
            raise Invalid("cli.no_key_file", file=error.filename, reason=error.strerror) from None
        try:
            ZoneInfo(found.zone)
        except (ZoneInfoNotFoundError, OSError, ValueError):
            raise Invalid("cli.bad_zone", zone=found.zone) from None
        return found

    @contextmanager
    def runtime(self) -> Iterator["Runtime"]:
        """The opened home. Raises NotFound, Conflict, Invalid, Unavailable."""
        from tagcast import access

        opened = access.open_home(self.settings())
        try:
            yield opened
        finally:
            opened.close()

    @contextmanager
    def read(self) -> Iterator["Work"]:
        """A read transaction in this machine's workspace."""
        from tagcast import access

        with self.runtime() as runtime, runtime.read(access.only_workspace(runtime), actor()) as work:
            yield work

    @contextmanager
    def write(self) -> Iterator["Work"]:
        """A write transaction in this machine's workspace."""
        from tagcast import access

        with self.runtime() as runtime, runtime.work(access.only_workspace(runtime), actor()) as work:
            yield work

    def zone(self) -> ZoneInfo:
        """The workspace's: times are shown and read in it."""
        return _zone(self.home)

    def moment(self, told: datetime) -> datetime:
        """A moment that a user names: without an offset it is of the workspace's zone."""
        return told.replace(tzinfo=self.zone()) if told.tzinfo is None else told

    def say(self, en: str, zh: str) -> None:
        """A message for a person, on stderr."""
        sys.stdout.flush()
        print(zh if self.lang == "zh" else en, file=sys.stderr, flush=True)

    def done(self, en: str, zh: str, **what: object) -> None:
        """That a change was made which gives nothing back; with --json what it was."""
        if self.json:
            print(dump(plain(what)))
        else:
            self.say(en, zh)

    def emit(self, value: object, *, text: Callable[[], str] | None = None, of: str = "") -> None:
        """One result on stdout: JSON with --json, else `text`, else its fields one a line in the topic's words."""
        if self.json:
            print(dump(plain(value)))
        elif text is not None:
            print(text())
        else:
            from rich.cells import cell_len

            cells = _cells(value)
            width = max((cell_len(self.word(name, of)) for name in cells), default=0)
            for name, item in cells.items():
                word = self.word(name, of)
                print(f"{word}{' ' * (width - cell_len(word))}  {self._shown(item, name, of)}")

    def word(self, name: str, of: str = "") -> str:
        """What a column or a field is called in the language of this call; `of` names a topic with words of its own."""
        if self.lang != "zh":
            return name.removesuffix("_ms")
        return _words(of).get(name) or _words("").get(name, name)

    def _shown(self, item: object, name: str, of: str) -> str:
        """A cell; a value that is a name in the code has a word in Chinese, if its topic says so."""
        if self.lang == "zh" and of and isinstance(item, str):
            return _words(f"{of} values {name}").get(item, item)
        return shown(item, name, self.zone)

    def table(
        self,
        rows: Iterable[object],
        columns: Sequence[str],
        *,
        lines: bool = False,
        none: tuple[str, str] | None = None,
        of: str = "",
    ) -> None:
        """Many results on stdout: a table; with --json an array of objects, or one object a line with `lines`.

        `none`: what to do when there is nothing yet, English and Chinese. `of`: the topic whose words are used.
        """
        found = list(rows)
        if self.json:
            data = [plain(row) for row in found]
            print("\n".join(dump(row) for row in data) if lines else dump(data), end="\n" if data or not lines else "")
            return
        if not found and none is not None:
            self.say(*none)
            return
        from rich.cells import cell_len
        from rich.console import Console
        from rich.table import Table

        heads = [self.word(name, of) for name in columns]
        texts = [[self._shown(cells.get(name), name, of) for name in columns] for cells in map(_cells, found)]
        drawn = Table(box=None, pad_edge=False, header_style="bold")
        least = 0
        for place, head in enumerate(heads):
            width = max(cell_len(one) for one in (head, *(row[place] for row in texts)))
            # Short ones are never cut; what is long goes on in the next line.
            short = width <= _SHORT
            least += min(width, _SHORT) + 1
            drawn.add_column(head, no_wrap=short, overflow="fold", min_width=min(width, _SHORT))
        for row in texts:
            drawn.add_row(*row)
        console = Console(width=None if sys.stdout.isatty() else 240, highlight=False, markup=False)
        console.width = max(console.width, least)
        with console.capture() as capture:
            console.print(drawn)
        print("\n".join(line.rstrip() for line in capture.get().rstrip("\n").splitlines()))

    @contextmanager
    def progress(self, what: str) -> Iterator[Callable[[int, int | None], None]]:
        """Show `done` of `total` on stderr while the block runs; silent when stderr is no terminal."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            disable=not sys.stderr.isatty(),
            transient=True,
        )
        with bar:
            task = bar.add_task(what, total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)

    def confirm(self, en: str, zh: str) -> None:
        """Ask before something that cannot be taken back. Raises Refused when nobody can answer or the answer is no."""
        if self.yes:
            return
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise Refused("cli.not_confirmed", what=zh if self.lang == "zh" else en)
        if not typer.confirm(zh if self.lang == "zh" else en, err=True):
            raise Refused("cli.not_confirmed", what=zh if self.lang == "zh" else en)

    def problem(self, error: TagcastError) -> None:
        """An error's sentence and remedy on stderr; with --json the problem object that the HTTP API gives."""
        if self.json:
            body = {
                "type": f"/problems/{error.code}",
                "title": type(error).__name__,
                "status": error.status,
                "detail": error.text(self.lang),
                "code": error.code,
                "remedy": error.remedy(self.lang),
                "params": plain(error.params),
            }
            print(dump(body), file=sys.stderr)
        else:
            print(f"{error.text(self.lang)}\n{error.remedy(self.lang)}", file=sys.stderr)


def read_text(file: Path) -> str:
    """The text of a file that a user names; `-` is stdin. Raises Invalid."""
    if str(file) == "-":
        return sys.stdin.read()
    if not file.is_file():
        raise Invalid("cli.no_file", file=str(file))
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise Invalid("cli.not_text", file=str(file)) from None


@contextmanager
def readable(file: Path) -> Iterator[Path]:
    """A file that a user names; what `-`, stdin, holds is kept in a file as long as it is read."""
    if str(file) != "-":
        yield file
        return
    import shutil
    import tempfile

    with tempfile.NamedTemporaryFile(prefix="tagcast-", suffix="-stdin") as copy:
        shutil.copyfileobj(sys.stdin.buffer, copy)
        copy.flush()
        yield Path(copy.name)


@contextmanager
def created(file: Path) -> Iterator[TextIO]:
    """A new text file that nobody else can read. Raises Invalid when there is one of this name."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise Invalid("cli.file_exists", file=str(file)) from None
    with os.fdopen(handle, "w", encoding="utf-8") as out:
        yield out


def actor() -> str:
    """Who acts on the command line, as written into history."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return f"cli:{os.getuid()}"


def plain(value: object) -> object:
    """A value as JSON can hold it: dataclasses as objects, bytes as hex, sets as sorted lists, times in ISO 8601."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(_cells(value))
    if hasattr(value, "_asdict"):
        return plain(value._asdict())
    for kinds, convert in _PLAIN:
        if isinstance(value, kinds):
            return convert(value)
    return value


_PLAIN: tuple[tuple[tuple[type, ...], Callable[[Any], object]], ...] = (
    ((Mapping,), lambda value: dict(_named(str(name), item) for name, item in value.items())),
    ((datetime, date), lambda value: value.isoformat()),
    ((bytes,), lambda value: value.hex()),
    ((set, frozenset), lambda value: [plain(item) for item in sorted(value)]),
    ((list, tuple), lambda value: [plain(item) for item in value]),
    ((Path,), str),
)


def _cells(row: object) -> dict[str, object]:
    if is_dataclass(row) and not isinstance(row, type):
        return {field.name: getattr(row, field.name) for field in fields(row) if field.name[0] != "_"}
    if hasattr(row, "_asdict"):
        return cast(dict[str, object], row._asdict())
    return dict(row) if isinstance(row, Mapping) else {"": row}


@cache
def _zone(home: Path | None) -> ZoneInfo:
    return ZoneInfo(Frame(home).settings().zone)


@cache
def _words(topic: str) -> dict[str, str]:
    """The Chinese words of a topic, `""`: of all; of `TOPIC values FIELD`: what the values of a field are called."""
    found: dict[str, object] = read_toml("cli", "words.toml")
    for part in topic.split():
        found = cast("dict[str, object]", found.get(part, {}))
    return {name: word for name, word in found.items() if isinstance(word, str)}


def dump(data: object) -> str:
    """JSON text; numbers of numpy as numbers."""
    return orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY, default=str).decode()


def _named(name: str, item: object) -> tuple[str, object]:
    """A field of JSON: a moment in ISO 8601, its name without the unit."""
    if _is_moment(item, name):
        return name.removesuffix("_ms"), clock.from_ms(item).isoformat()
    return (name.removesuffix("_ms") if item is None else name), plain(item)


def _is_moment(item: object, name: str) -> TypeGuard[int]:
    """What is named `…_at` or `…_ms` holds epoch milliseconds; few of them are a duration."""
    return isinstance(item, int) and item > _EARLIEST_MS and name.endswith(("_at", "_ms"))


def _utc() -> tzinfo:
    return UTC


def shown(item: object, name: str = "", zone: Callable[[], tzinfo] = _utc) -> str:
    """A cell for people; moments in a zone, with their offset."""
    if item is None or isinstance(item, bool):
        return "✓" if item else "–"
    if _is_moment(item, name):
        item = clock.from_ms(item)
    if isinstance(item, int):
        return f"{item:,}" if abs(item) >= 10_000 and name not in NAMES else str(item)
    if isinstance(item, float):
        return f"{item:,.{4 if abs(item) < 1000 else 12}g}"
    if isinstance(item, datetime):
        return clock.told(item.astimezone(zone()))
    return dump(plain(item)) if isinstance(item, Mapping | list | tuple | set | frozenset) else str(item)


def language(flag: str | None, environ: Mapping[str, str]) -> Lang:
    """--lang, else TAGCAST_LANG, else the locale of the environment."""
    for text in (flag, environ.get("TAGCAST_LANG")):
        if text in ("zh", "en"):
            return "zh" if text == "zh" else "en"
    locale = environ.get("LC_ALL") or environ.get("LC_MESSAGES") or environ.get("LANG") or ""
    return "zh" if locale.lower().startswith("zh") else "en"
