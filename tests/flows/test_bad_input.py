"""Bad input, as a user gives it: a sentence that names the thing, a remedy, exit code 2 or 4xx, and nothing changed."""

import hashlib
import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tagcast.cli import main
from tests.flows.harness import sandbox

# Told of every call, also of one that was refused.
LOGS = {"idempotency", "lease", "import_job", "contact_sync", "account_token", "rate"}
LANGS = ("en", "zh")


class Done(NamedTuple):
    """What a command did."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Home:
    """A home in use: people, a tag tree, a segment, three accounts in a sandbox, one of them beyond a closed port."""

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        return self.folder / "home"

    def run(self, *arguments: object, code: int = 0, **environ: str) -> Done:
        """The real program."""
        ran = subprocess.run(
            [sys.executable, "-m", "tagcast", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            cwd=self.folder,
            env={**clean(), "TAGCAST_HOME": "home", "TAGCAST_ALLOW_PRIVATE": "true", "LANG": "C.UTF-8", **environ},
        )
        assert ran.returncode == code, ran.stdout + ran.stderr
        return Done(ran.returncode, ran.stdout, ran.stderr)

    def here(self, capture: pytest.CaptureFixture[str], *arguments: object, **environ: str) -> Done:
        """The same program in this process: quicker."""
        with pytest.MonkeyPatch.context() as patch:
            for name in set(os.environ) - set(clean()):
                patch.delenv(name)
            for name, value in {"TAGCAST_HOME": "home", "TAGCAST_ALLOW_PRIVATE": "true", **environ}.items():
                patch.setenv(name, value)
            patch.chdir(self.folder)
            capture.readouterr()
            code = main([str(argument) for argument in arguments])
            return Done(code, *capture.readouterr())

    def digest(self) -> dict[str, str]:
        """A digest of every table but the logs."""
        with sqlite3.connect(self.path / "tagcast.db") as connection:
            tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            return {
                table: hashlib.sha256(
                    repr(connection.execute(f'SELECT * FROM "{table}"').fetchall()).encode()
                ).hexdigest()
                for table in tables
                if table not in LOGS
            }

    def copy(self, name: str) -> "Home":
        """Another home with the same in it, to be broken."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        for file in self.folder.iterdir():
            if file.suffix in (".csv", ".toml"):
                shutil.copy(file, folder)
        (folder / "home").mkdir(mode=0o700)
        shutil.copy(self.path / "key", folder / "home")
        with sqlite3.connect(self.path / "tagcast.db") as source, sqlite3.connect(folder / "home/tagcast.db") as target:
            source.backup(target)
        return Home(folder, self.key)

    def write(self, name: str, content: str | bytes) -> None:
        (self.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def clean() -> dict[str, str]:
    """This environment without what would set up Tagcast."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("TAGCAST_", "LC_", "LANG"))}


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("bad")
    with sandbox(folder) as platform:
        made = Home(folder, Home(folder, "").run("init").stdout.strip())
        made.write("people.csv", "id,region,spend,born\nc1,华东,10,1990-01-01\nc2,华南,20,1991-01-01\n")
        made.write("good.toml", 'id = "identity:customer_id"\nregion = "attribute:region"\n')
        made.run("contacts", "declare", "region", "choice", "--purpose", "marketing")
        made.run("contacts", "declare", "spend", "number", "--purpose", "marketing")
        made.run("contacts", "declare", "born", "date", "--purpose", "marketing")
        made.run("contacts", "declare", "vip", "flag", "--purpose", "marketing")
        made.run("contacts", "import", "people.csv", "--map", "good.toml")
        made.run("events", "declare", "purchase", "--purpose", "marketing")
        made.run("tags", "add", "会员/金卡", "--parents")
        made.run("segment", "save", "华东客户", 'region = "华东"')
        for kind in ("wecom", "official", "service"):
            remote = platform.post("/sandbox/accounts", kind=kind, name=kind)
            made.write(
                f"{kind}.env",
                f"secret={remote['secret']}\ncallback_token={remote['token']}\n"
                f"encoding_aes_key={remote['encoding_aes_key']}\n",
            )
            given = ["--appid", remote["appid"]]
            if kind == "wecom":
                given = ["--corpid", remote["corpid"], "--agentid", remote["agentid"]]
            made.run("account", "add", kind, kind, *given, "--secrets", f"{kind}.env", "--base-url", platform.url)
        made.write("wrong.env", "secret=00000000000000000000000000000000\n")
        appid = platform.post("/sandbox/accounts", kind="service", name="other")["appid"]
        made.run("account", "add", "service", "错", "--appid", appid, "--secrets", "wrong.env",
                 "--base-url", platform.url, "--no-check")  # fmt: skip
        made.run("account", "add", "service", "远", "--appid", "wx0123456789abcdef", "--secrets", "wrong.env",
                 "--base-url", f"http://127.0.0.1:{closed_port()}", "--no-check")  # fmt: skip
        yield made


class Case(NamedTuple):
    """Arguments, what the answer must name, files to write first, environment."""

    name: str
    arguments: tuple[str, ...]
    names: tuple[str, ...]
    files: dict[str, str | bytes] = {}  # noqa: RUF012 - never changed
    environ: dict[str, str] = {}  # noqa: RUF012 - never changed


def imported(name: str, content: str | bytes, *names: str, mapping: str = "", more: tuple[str, ...] = ()) -> Case:
    """An import of people from a file with some content."""
    given = mapping or 'id = "identity:customer_id"\n'
    arguments = ("contacts", "import", "bad.csv", "--map", "bad.toml", *more)
    return Case(name, arguments, names, {"bad.csv": content, "bad.toml": given})


def drafted(case: str, account: str, content: object, *names: str, **more: object) -> Case:
    """A broadcast's draft."""
    body = {"name": "x", "account": account, "audience": "all", "content": content, **more}
    return Case(case, ("broadcast", "draft", "bad.json"), names, {"bad.json": json.dumps(body)})


def counted(name: str, text: str, *names: str) -> Case:
    """A segment as text."""
    return Case(name, ("segment", "save", "坏", text), names)


TEXT = {"kind": "text", "text": "你好"}
FILES = [
    imported("empty", b"", "bad.csv"),
    imported("no text", bytes(range(256)) * 20, "bad.csv"),
    imported("an archive", b"PK\x03\x04" + bytes(200), "bad.csv"),
    imported("header only, of blanks", ",,\n", "bad.csv"),
    imported("repeated header", "id,id\n1,2\n", "bad.csv", "id"),
    imported("100,000 columns", ",".join(f"c{n}" for n in range(100_000)) + "\n1\n", "100000"),
    imported("a column that is not there", "id\n1\n", "nothing", mapping='nothing = "identity:customer_id"\n'),
    imported("unknown target", "id\n1\n", "id", "wish:x", mapping='id = "wish:x"\n'),
    imported("unknown identity", "id\n1\n", "passport", mapping='id = "identity:passport"\n'),
    imported("undeclared attribute", "id,a\n1,2\n", "attribute:shoe",
             mapping='id = "identity:customer_id"\na = "attribute:shoe"\n'),
    imported("unknown purpose", "id,a\n1,是\n", "telepathy",
             mapping='id = "identity:customer_id"\na = "consent:telepathy"\n'),
    imported("no identity", "id\n1\n", "identity", mapping='id = "attribute:region"\n'),
    imported("mapping that is no TOML", "id\n1\n", "bad.toml", mapping="id = identity"),
    imported("mapping that is no text", "id\n1\n", "bad.toml", mapping='id = 5\n'),
    imported("unknown encoding", "id\n1\n", "klingon", more=("--encoding", "klingon")),
    imported("openid of an account that is not there", "id\n1\n", "99", mapping='id = "identity:openid:99"\n'),
    imported("openid of no account", "id\n1\n", "openid", mapping='id = "identity:openid"\n'),
    Case("missing file", ("contacts", "import", "none.csv", "--map", "good.toml"), ("none.csv",)),
    Case("missing mapping", ("contacts", "import", "people.csv", "--map", "none.toml"), ("none.toml",)),
    Case("a folder", ("contacts", "import", "home", "--map", "good.toml"), ("home",)),
    Case("Parquet garbage", ("contacts", "import", "bad.parquet", "--map", "good.toml"), ("bad.parquet",),
         {"bad.parquet": b"PAR1" + b"\x00garbage" * 50 + b"PAR1"}),
    Case("events of an undeclared type",
         ("events", "import", "people.csv", "--type", "sneeze", "--map", "events.toml"), ("sneeze",),
         {"events.toml": 'id = "contact:customer_id"\nborn = "at"\n'}),
    Case("events without a time", ("events", "import", "people.csv", "--type", "purchase", "--map", "events.toml"),
         ("at",), {"events.toml": 'id = "contact:customer_id"\n'}),
    Case("events with an unknown target",
         ("events", "import", "people.csv", "--type", "purchase", "--map", "events.toml"), ("colour",),
         {"events.toml": 'id = "contact:customer_id"\nborn = "at"\nspend = "colour"\n'}),
    Case("tagging by a file that is not there", ("tags", "apply", "会员", "--file", "none.csv"), ("none.csv",)),
    Case("tagging by a column that is not there", ("tags", "apply", "会员", "--file", "people.csv", "--column", "x"),
         ("people.csv", "x")),
    Case("export into no folder", ("contacts", "export", "nowhere/a.csv", "--columns", "number"), ("nowhere",)),
    Case("export of an unknown column", ("contacts", "export", "a.csv", "--columns", "soul"), ("soul",)),
    Case("export of an unknown attribute", ("contacts", "export", "a.csv", "--columns", "attribute:shoe"), ("shoe",)),
]  # fmt: skip

REFUSED_ROWS = [
    imported("unclosed quote", 'id,a\n"c9,1\n', "2"),
    imported("NUL", b"id,a\nc9,\x00\n", "2", more=("--encoding", "utf-8")),
    imported("ragged", "id,a\nc9\n", "2"),
    imported("number abc", "id,spend\nc9,abc\n", "spend",
             mapping='id = "identity:customer_id"\nspend = "attribute:spend"\n'),
    imported("31 February", "id,born\nc9,31.02.\n", "born",
             mapping='id = "identity:customer_id"\nborn = "attribute:born"\n'),
    imported("a day that is not there", "id,born\nc9,2026-02-31\n", "born",
             mapping='id = "identity:customer_id"\nborn = "attribute:born"\n'),
    imported("flag maybe", "id,vip\nc9,maybe\n", "vip",
             mapping='id = "identity:customer_id"\nvip = "attribute:vip"\n'),
    imported("huge cell", "id,a\nc9," + "x" * 3_000_000 + "\n", "2"),
    imported("a formula with a bell", 'id\n"=HYPERLINK(""http://x"")\x07"\n', "2"),
    imported("GBK said to be UTF-8", "id,region\n客一,北京\n客二,上海\n".encode("gbk"), "2",
             more=("--encoding", "utf-8")),
]  # fmt: skip

TAGS = [
    Case("too deep for an account", ("tags", "add", "a/b/c", "--account", "official", "--parents"), ("a/b/c", "2")),
    Case("too deep for wecom", ("tags", "add", "a/b/c/d", "--account", "wecom", "--parents"), ("a/b/c/d", "3")),
    Case("too long a name", ("tags", "add", "长" * 31, "--account", "official"), ("30",)),
    Case("no name", ("tags", "add", "会员/", "--parents"), ("/",)),
    Case("an invisible character", ("tags", "add", "金\u200b卡"), ("U+200B",)),
    Case("the same again", ("tags", "add", "会员/金卡"), ("会员/金卡",)),
    Case("no parent", ("tags", "add", "无/有"), ("无",)),
    Case("unknown tag", ("tags", "apply", "会员/银卡", "--contact", "1"), ("会员/银卡", "金卡")),
    Case("unknown account of a tag", ("tags", "ls", "--account", "无"), ("无",)),
    Case("unknown contact", ("tags", "apply", "会员", "--contact", "99"), ("99",)),
    Case("unknown identity", ("tags", "apply", "会员", "--contact", "customer_id:zz"), ("customer_id",)),
    Case("unknown kind of identity", ("tags", "apply", "会员", "--contact", "shoe:zz"), ("shoe",)),
    Case("nobody said", ("tags", "apply", "会员"), ("--contact",)),
    Case("a number beyond all", ("tags", "apply", "会员", "--contact", "99999999999999999999"), ("9999",)),
    Case("an end that is past", ("tags", "apply", "会员", "--contact", "1", "--until", "2001-01-01"), ("2001",)),
    Case("undo of nothing", ("tags", "undo", "123456"), ("123456",)),
    Case("undo of another's change", ("tags", "undo", "1"), ("1",)),
    Case("unknown tag's history", ("tags", "history", "12345"), ("12345",)),
    Case("as of no time", ("tags", "as-of", "会员", "yesterday"), ("moment",)),
]

SEGMENTS = [
    counted("unknown tag", 'tag("会员/银卡")', "会员/银卡", "会员/金卡"),
    counted("unknown attribute", 'regio = "华东"', "regio", "region"),
    counted("unknown feature", "rfm.q >= 4", "rfm.q"),
    counted("unknown segment", 'segment("华北客户")', "华北客户", "华东客户"),
    counted("unknown account", 'tag("会员", account 77)', "77"),
    counted("unknown word", "region ~ 5", "~"),
    counted("ends early", 'region = "华东" and', "1"),
    counted("nothing", "", "1"),
    counted("only brackets", "(" * 5000, "depth"),
    counted("beyond all depth", "not " * 1000 + "all", "depth"),
    counted("too long", "all or " * 5000 + "all", "20000"),
    counted("an attribute of another type", "region > 5", "region"),
    counted("an impossible date", 'born = "2026-02-31"', "born"),
    counted("a text for a number", 'spend = "viel"', "spend"),
    counted("NUL", 'region = "\x00"', "U+0000"),
    counted("SQL", "region = '华东'; DROP TABLE contact", "'"),
    Case("a kept one that is not there", ("segment", "count", "=无"), ("无",)),
    Case("a file that is not there", ("segment", "count", "@none.json"), ("none.json",)),
    Case("JSON that is none", ("segment", "count", "@bad.json"), ("bad.json",), {"bad.json": "{"}),
    Case("JSON of another shape", ("segment", "count", "@bad.json"), ("tagg",), {"bad.json": '{"tagg": "x"}'}),
    Case(
        "JSON too deep",
        ("segment", "count", "@bad.json"),
        (),
        {"bad.json": '{"not":' * 900 + '{"all":true}' + "}" * 900},
    ),
    Case("a file of no text", ("segment", "count", "@bad.txt"), ("bad.txt",), {"bad.txt": b"\xff\xfe\x00\xd8"}),
    Case("a ring", ("segment", "save", "华东客户", 'segment("华东客户")'), ("华东客户",)),
    Case("no name", ("segment", "save", "", "all"), ()),
    Case("tagging with an unknown tag", ("segment", "tag", "all", "无"), ("无",)),
    Case("RFM of an undeclared event", ("features", "rfm", "--event", "sneeze"), ("sneeze",)),
]

BROADCASTS = [
    drafted("a kind that the account cannot send", "official", {"kind": "mini_program", "title": "t", "app_id": "wx",
            "page": "p"}, "mini_program", "official"),
    drafted("a text on service", "service", TEXT, "service", "template"),
    drafted("an unknown kind", "wecom", {"kind": "smoke", "text": "x"}, "smoke"),
    drafted("an unknown field", "wecom", {**TEXT, "colour": "red"}, "colour"),
    drafted("a field of another type", "wecom", {"kind": "text", "text": 5}, "text"),
    drafted("a field that is missing", "official", {"kind": "article", "title": "t"}, "body"),
    drafted("too long", "wecom", {"kind": "text", "text": "长" * 5000}, "4000"),
    drafted("an unknown account", "无", TEXT, "无"),
    drafted("an unknown tag", "wecom", TEXT, "会员/银卡", audience='tag("会员/银卡")'),
    drafted("an audience of another shape", "wecom", TEXT, "tagg", audience={"tagg": 1}),
    drafted("an audience that is a number", "wecom", TEXT, "audience", audience=5),
    drafted("an impossible holdout", "wecom", TEXT, "90", holdout_percent=90),
    drafted("a holdout that is a text", "wecom", TEXT, "holdout_percent", holdout_percent="viel"),
    drafted("an unknown purpose", "wecom", TEXT, "telepathy", purpose="telepathy"),
    drafted("a name of another type", "wecom", TEXT, "name", name=5),
    Case("a plan of nothing", ("broadcast", "plan", "99"), ("99",)),
    Case("an unknown plan", ("broadcast", "send", "no-such-plan", "--yes"), ("no-such-plan",)),
    Case("a report of nothing", ("report", "broadcast", "99"), ("99",)),
    Case("why of nothing", ("broadcast", "why", "99", "1"), ("99",)),
]  # fmt: skip

ACCOUNTS = [
    Case("a wrong secret", ("account", "check", "错"), ("错", "40")),
    Case("a wrong secret, syncing", ("account", "sync", "错"), ("错", "40")),
    Case("an unreachable platform", ("account", "check", "远"), ("远", "127.0.0.1")),
    Case("an unreachable platform, syncing", ("account", "sync", "远"), ("远", "127.0.0.1")),
    Case("templates of an account without", ("account", "templates", "official"), ("official",)),
    Case("an unknown kind", ("account", "add", "telegram", "x", "--appid", "y"), ("telegram",)),
    Case("no appid", ("account", "add", "service", "x", "--secrets", "wrong.env"), ("appid",)),
    Case("no secret", ("account", "add", "service", "x", "--appid", "wx0123456789abcdef"), ("secret",)),
    Case("a bad appid", ("account", "add", "service", "x", "--appid", "a b", "--secrets", "wrong.env"), ("appid",)),
    Case("a bad address", ("account", "add", "service", "x", "--appid", "wx0123456789abcdef", "--secrets", "wrong.env",
         "--base-url", "ftp://x"), ("base_url", "ftp://x")),
    Case("a bad zone", ("account", "add", "service", "x", "--appid", "wx0123456789abcdef", "--secrets", "wrong.env",
         "--zone", "Mars/Base"), ("Mars/Base",)),
    Case("a name that is taken", ("account", "add", "service", "wecom", "--appid", "wx0123456789abcdef", "--secrets",
         "wrong.env"), ("wecom",)),
    Case("an unknown profile", ("account", "profile", "wecom", "dream"), ("dream", "article")),
    Case("secrets of other names", ("account", "secret", "wecom", "--secrets", "odd.env"), ("odd.env", "sekret"),
         {"odd.env": "sekret=x\n"}),
    Case("no secrets file", ("account", "secret", "wecom", "--secrets", "none.env"), ("none.env",)),
    Case("secrets of no text", ("account", "secret", "wecom", "--secrets", "odd.env"), ("odd.env",),
         {"odd.env": b"\xff\xfe\x00"}),
    Case("an unknown account", ("account", "show", "无"), ("无",)),
    Case("an attribute of another type", ("contacts", "declare", "region", "number", "--purpose", "x"), ("region",)),
    Case("an attribute with a bad name", ("contacts", "declare", "地区", "choice", "--purpose", "x"), ("地区",)),
    Case("an attribute of no purpose", ("contacts", "declare", "shoe", "choice", "--purpose", " "), ("shoe",)),
    Case("an event with a bad name", ("events", "declare", "A B", "--purpose", "x"), ("A B",)),
    Case("nobody to show", ("contacts", "show", "99"), ("99",)),
    Case("nobody to erase", ("contacts", "erase", "99", "--yes"), ("99",)),
    Case("an unknown key", ("key", "revoke", "zz"), ("zz",)),
    Case("an unknown setting", ("contacts", "count"), ("colour",), {}, {"TAGCAST_COLOUR": "blue"}),
    Case("an impossible setting", ("contacts", "count"), ("port",), {}, {"TAGCAST_PORT": "many"}),
    Case("an unknown zone", ("features", "rfm"), ("Mars/Base",), {}, {"TAGCAST_ZONE": "Mars/Base"}),
    Case("no key file", ("contacts", "count"), ("none.key",), {}, {"TAGCAST_KEY_FILE": "none.key"}),
    Case("a key that is none", ("contacts", "count"), ("base64",), {}, {"TAGCAST_KEY": "abc"}),
    Case("another key", ("contacts", "show", "1"), (), {}, {"TAGCAST_KEY": "A" * 43 + "="}),
    Case("no home", ("contacts", "count"), ("elsewhere",), {}, {"TAGCAST_HOME": "elsewhere"}),
    Case("no home to migrate", ("migrate",), ("elsewhere",), {}, {"TAGCAST_HOME": "elsewhere"}),
    Case("no database", ("contacts", "count"), ("TAGCAST_DATABASE_URL",), {},
         {"TAGCAST_DATABASE_URL": "postgresql+psycopg://x:y@127.0.0.1:1/z"}),
    Case("no kind of database", ("contacts", "count"), ("TAGCAST_DATABASE_URL",), {},
         {"TAGCAST_DATABASE_URL": "cloud"}),
    Case("a second init", ("init",), ("home",)),
    Case("an unknown command", ("brodcast",), ("brodcast",)),
    Case("an unknown option", ("contacts", "count", "--fast"), ("--fast",)),
    Case("an argument of another type", ("broadcast", "plan", "one"), ("broadcast", "tagcast broadcast plan --help")),
    Case("an argument that is missing", ("segment", "count"), ("segment", "tagcast segment count --help")),
    Case("a value that is missing", ("contacts", "import", "people.csv"), ("--map",)),
    Case("a choice that is none", ("contacts", "declare", "x", "colour", "--purpose", "x"), ("TYPE", "choice")),
]  # fmt: skip


@pytest.mark.parametrize(
    "case", [*FILES, *TAGS, *SEGMENTS, *BROADCASTS, *ACCOUNTS], ids=lambda case: f"{case.arguments[0]}: {case.name}"
)
def test_it_is_refused_and_named_and_nothing_changes(home: Home, case: Case, capfd: pytest.CaptureFixture[str]) -> None:
    for name, content in case.files.items():
        home.write(name, content)
    before = home.digest()
    for lang in LANGS:
        done = home.here(capfd, *case.arguments, "--lang", lang, **case.environ)
        assert done.code == 2, done
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
        assert len(done.stderr) < 2500
        assert [name for name in case.names if name not in done.stderr] == [], done.stderr
        sentence, _, remedy = done.stderr.strip().partition("\n")
        assert sentence
        assert remedy
    assert home.digest() == before
    assert not (home.folder / "elsewhere").exists()


@pytest.mark.parametrize("case", REFUSED_ROWS, ids=lambda case: case.name)
def test_rows_that_cannot_be_right_are_named_and_nothing_changes(
    home: Home, case: Case, capfd: pytest.CaptureFixture[str]
) -> None:
    for name, content in case.files.items():
        home.write(name, content)
    before = home.digest()
    for lang in LANGS:
        done = home.here(capfd, *case.arguments, "--lang", lang, "--errors", "refused.csv")
        assert done.code == 2, done
        assert "Traceback" not in done.stderr
        assert [name for name in case.names if name not in done.stderr] == [], done.stderr
        assert len(done.stderr) < 2500
    assert home.digest() == before
    refused = (home.folder / "refused.csv").read_text("utf-8-sig")
    assert len(refused.splitlines()) >= 2
    assert not any(line.startswith(("=", "+", "@")) for line in refused.splitlines())


def test_a_spreadsheets_formula_is_kept_as_text_and_leaves_as_text(home: Home) -> None:
    home.write("formula.csv", "id\n\"=cmd|' /C calc'!A0\"\n")
    home.write("formula.toml", 'id = "identity:customer_id"\n')
    mine = home.copy("formula")
    mine.run("contacts", "import", "formula.csv", "--map", "formula.toml")
    mine.run("contacts", "export", "out.csv", "--columns", "identity:customer_id")
    lines = (mine.folder / "out.csv").read_text("utf-8-sig").splitlines()
    assert [line for line in lines if "cmd" in line] == ["\"'=cmd|' /C calc'!A0\""]


BROKEN_HOMES = [
    ("chmod 600", lambda home: (home / "key").chmod(0o644)),
    ("key", lambda home: (home / "key").unlink()),
    ("base64", lambda home: (home / "key").write_text("short")),
    ("tagcast migrate", lambda home: older(home / "tagcast.db")),
    ("tagcast.db", lambda home: (home / "tagcast.db").write_bytes(b"no database " * 1000)),
    ("tagcast.toml", lambda home: (home / "tagcast.toml").write_text("port = = 1")),
    ("colour", lambda home: (home / "tagcast.toml").write_text('colour = "blue"')),
    ("tagcast init", lambda home: (home / "tagcast.db").unlink()),
]


def older(database: Path) -> None:
    """As a Tagcast before this one left it."""
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0000'")


@pytest.mark.parametrize(("remedy", "break_it"), BROKEN_HOMES, ids=[name for name, _ in BROKEN_HOMES])
def test_a_broken_home_is_explained_by_every_command_and_by_doctor(
    home: Home, remedy: str, break_it: Callable[[Path], object], capfd: pytest.CaptureFixture[str]
) -> None:
    mine = home.copy("broken")
    break_it(mine.path)
    left = sorted((path.name, path.stat().st_size) for path in mine.path.iterdir() if path.is_file())
    for lang in LANGS:
        for command in (("contacts", "count"), ("tags", "add", "新")):
            done = mine.here(capfd, *command, "--lang", lang)
            assert (done.code, done.stdout) == (2, ""), done
            assert remedy in done.stderr
        looked = mine.here(capfd, "doctor", "--lang", lang)
        assert looked.code in (1, 2)
        assert remedy in looked.stdout + looked.stderr
    after = sorted((path.name, path.stat().st_size) for path in mine.path.iterdir() if path.is_file())
    assert [one for one in after if not one[0].endswith(("-wal", "-shm"))] == [
        one for one in left if not one[0].endswith(("-wal", "-shm"))
    ]


def test_the_real_program_answers_alike(home: Home) -> None:
    before = home.digest()
    said = home.run("tags", "add", "a/b/c", "--account", "official", "--parents", code=2)
    assert said.stderr.startswith("The tag a/b/c would stand on level 3; official allows 2 (profile article:")
    wrong = home.run("segment", "count", "regio = 1", "--json", code=2, LANG="zh_CN.UTF-8")
    problem = json.loads(wrong.stderr)
    assert (problem["code"], problem["params"]["near"]) == ("audiences.unknown_field", "region")
    assert "没有属性" in problem["detail"]
    usage = json.loads(home.run("segment", "cuont", "--json", code=2).stderr)
    assert (usage["code"], usage["status"]) == ("cli.no_command", 422)
    assert home.digest() == before


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True)
class Api:
    """A running server of the home."""

    url: str
    key: str

    def __call__(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """One call; `body` is sent as it is when it is bytes."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        asked = urllib.request.Request(self.url + path, data, given, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=60) as found:
                return Answer(found.status, dict(found.headers), json.loads(found.read() or b"null"))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, dict(error.headers), json.loads(error.read()))


@pytest.fixture(scope="module")
def api(home: Home) -> Iterator[Api]:
    environ = {**clean(), "TAGCAST_HOME": "home", "TAGCAST_ALLOW_PRIVATE": "true", "LANG": "C.UTF-8"}
    with subprocess.Popen(
        [sys.executable, "-m", "tagcast", "serve", "--alone", "--port", "0"],
        stdout=subprocess.PIPE, text=True, cwd=home.folder, env=environ,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        yield Api(json.loads(server.stdout.readline())["url"] + "/api/v1", home.key)
        server.terminate()


DRAFT = {"name": "x", "account": "wecom", "audience": "all", "content": TEXT}
CALLS: list[tuple[int, str, str, object, str]] = [
    (404, "GET", "/nowhere", None, "/api/v1/nowhere"),
    (405, "PATCH", "/tags", {}, "PATCH"),
    (422, "POST", "/tags", b"{", "body"),
    (422, "POST", "/tags", b"\xff\xfe", "body"),
    (422, "POST", "/tags", b"", "body"),
    (422, "POST", "/tags", [], "body"),
    (422, "POST", "/tags", {"path": "x", "colour": "red"}, "colour"),
    (422, "POST", "/tags", {"path": 5}, "path"),
    (422, "POST", "/tags", {}, "path"),
    (403, "POST", "/tags", {"path": "a/b/c", "account": 2, "parents": True}, "a/b/c"),
    (409, "POST", "/tags", {"path": "会员/金卡"}, "会员/金卡"),
    (404, "POST", "/tags", {"path": "x", "account": 99}, "99"),
    (404, "POST", "/tags/999/assign", {"numbers": [1], "why": "x"}, "999"),
    (422, "POST", "/tags/1/assign", {"numbers": [-1], "why": "x"}, "numbers"),
    (422, "POST", "/tags/1/assign", {"numbers": [2**70], "why": "x"}, "numbers"),
    (422, "POST", "/tags/1/assign", {"numbers": ["one"], "why": "x"}, "numbers"),
    (422, "GET", "/tags/99999999999999999999", None, "99999999999999999999"),
    (422, "GET", "/tags/one", None, "tag_id"),
    (422, "POST", "/segments/count", {"text": 'tag("无")'}, "无"),
    (403, "POST", "/segments/count", {"text": "(" * 5000}, "depth"),
    (422, "POST", "/segments/count", {"json": {"tagg": 1}}, "tagg"),
    (422, "POST", "/segments/count", {"text": "all", "json": {"all": True}}, "json"),
    (422, "POST", "/segments", {"name": "x", "text": "regio = 1"}, "regio"),
    (404, "GET", "/segments/999", None, "999"),
    (422, "POST", "/broadcasts", {**DRAFT, "colour": "red"}, "colour"),
    (422, "POST", "/broadcasts", {**DRAFT, "holdout_percent": "viel"}, "holdout_percent"),
    (422, "POST", "/broadcasts", {**DRAFT, "content": {"kind": "smoke"}}, "smoke"),
    (404, "POST", "/broadcasts", {**DRAFT, "account": "无"}, "无"),
    (403, "POST", "/broadcasts", {**DRAFT, "account": "official", "content": {"kind": "mini_program", "title": "t",
     "app_id": "wx", "page": "p"}}, "mini_program"),
    (404, "POST", "/broadcasts/99/plan", None, "99"),
    (404, "POST", "/broadcasts/plans/none/send", None, "none"),
    (404, "GET", "/reports/broadcasts/99", None, "99"),
    (422, "GET", "/reports/broadcasts/99?window_days=900", None, "900"),
    (422, "PUT", "/contacts/attributes/region", {"type": "colour", "purpose": "x"}, "type"),
    (409, "PUT", "/contacts/attributes/region", {"type": "number", "purpose": "x"}, "region"),
    (404, "GET", "/contacts/99", None, "99"),
    (404, "DELETE", "/contacts/99", None, "99"),
    (422, "POST", "/accounts", {"kind": "telegram", "name": "x"}, "telegram"),
    (422, "POST", "/accounts", {"kind": "service", "name": "x", "appid": "wx0123456789abcdef"}, "secret"),
    (422, "POST", "/events", {"batch_key": "a", "events": []}, "events"),
    (422, "POST", "/events", {"batch_key": "", "events": [{"type": "purchase", "at": "2026-01-01"}]}, "batch_key"),
    (422, "POST", "/features/rfm", {"as_of": "31.02."}, "as_of"),
    (404, "POST", "/features/rfm", {"event": "sneeze"}, "sneeze"),
    (422, "POST", "/consents", {"purpose": "telepathy", "granted": [1]}, ""),
]  # fmt: skip


@pytest.mark.parametrize(
    ("status", "method", "path", "body", "named"), CALLS, ids=lambda value: str(value)[:40] if value else "-"
)
def test_a_call_that_cannot_be_right_is_a_problem(
    home: Home, api: Api, *, status: int, method: str, path: str, body: object, named: str
) -> None:
    before = home.digest()
    for accepted, letters in (("zh-CN", True), ("en", False)):
        answer = api(method, path, body, Accept_Language=accepted)
        assert answer.status == status, answer
        assert answer.headers["content-type"] == "application/problem+json"
        assert set(answer.body) == {"type", "title", "status", "detail", "code", "remedy", "params"}
        assert named in answer.body["detail"] + answer.body["remedy"], answer.body
        assert any("\u4e00" <= letter <= "\u9fff" for letter in answer.body["remedy"]) is letters or not letters
        assert answer.body["remedy"]
    assert home.digest() == before


def test_no_key_a_wrong_one_and_a_revoked_one_open_nothing(home: Home, api: Api) -> None:
    before = home.digest()
    for given in ("", "Bearer", "Bearer x", f"Basic {api.key}", f"Bearer {api.key}x", f"Bearer {api.key[:-1]}"):
        for method, path in (("GET", "/tags"), ("POST", "/tags")):
            answer = api(method, path, {"path": "新"} if method == "POST" else None, Authorization=given)
            assert (answer.status, answer.body["code"]) == (401, "server.unauthorized"), given
    assert home.digest() == before


def test_an_idempotency_key_is_good_for_one_request(home: Home, api: Api) -> None:
    body = {"text": "all", "tag": 1, "why": "x"}
    assert api("POST", "/segments/overlap", {"of": [{"text": "all"}, {"text": "nobody"}]}).status == 200
    key = "a-key-of-the-shop"
    first = api("PUT", "/events/types/visit", {"purpose": "x"}, Idempotency_Key=key)
    assert first.status == 200
    before = home.digest()
    again = api("PUT", "/events/types/visit", {"purpose": "x"}, Idempotency_Key=key)
    assert (again.status, again.body, again.headers["idempotency-replayed"]) == (200, first.body, "true")
    other = api("PUT", "/events/types/visit", {"purpose": "y"}, Idempotency_Key=key)
    assert (other.status, other.body["code"]) == (409, "access.key_reused")
    elsewhere = api("POST", "/segments/tag", body, Idempotency_Key=key)
    assert elsewhere.status in (409, 422)
    assert home.digest() == before


def test_an_account_that_cannot_be_reached_says_so(home: Home, api: Api) -> None:
    before = home.digest()
    for account, code in (("4", "accounts.wrong_secret"), ("5", "accounts.unreachable")):
        problem = api("POST", f"/accounts/{account}/check").body["problem"]
        assert problem["code"] == code
        assert problem["zh_remedy"]
        answer = api("GET", f"/accounts/{account}/templates", Accept_Language="zh")
        assert (answer.status, answer.body["code"]) == (503 if account == "5" else 403, code)
    assert home.digest() == before


def test_numbers_of_nobody_are_named_and_not_tagged(home: Home, api: Api) -> None:
    before = home.digest()
    answer = api("POST", "/tags/1/assign", {"numbers": [99], "why": "x"})
    assert [row["status"] for row in answer.body["rows"]] == ["unknown"], answer
    assert home.digest() == before
