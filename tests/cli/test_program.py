"""The command line as a user meets it: processes, exit codes, stdout for data, stderr for people."""

import json
import re
from pathlib import Path

import pytest
from tests.cli.conftest import Shell


def test_version_says_name_and_number(empty: Shell) -> None:
    done = empty("--version", process=True)
    assert re.fullmatch(r"tagcast \d+\.\d+\.\d+\n", done.stdout)
    assert done.stderr == ""


def test_help_lists_every_command(empty: Shell) -> None:
    from tagcast.cli.main import COMMANDS

    shown = empty("--help").stdout
    assert [name for name in COMMANDS if not re.search(rf"\b{name}\b", shown)] == []


def test_an_unknown_command_is_wrong_usage(empty: Shell) -> None:
    done = empty("brodcast", code=2, process=True)
    assert done.stdout == ""
    assert "brodcast" in done.stderr


def test_the_key_is_data_and_the_warning_is_not(empty: Shell, home: Path) -> None:
    done = empty("init", process=True)
    assert re.fullmatch(r"tc_[0-9a-f]{12}_\S+\n", done.stdout)
    assert "shown once" in done.stderr
    assert home.stat().st_mode & 0o077 == 0


def test_a_second_init_is_refused_and_changes_nothing(home: Path, tagcast: Shell) -> None:
    key = (home / "key").read_bytes()
    assert "already" in tagcast("init", code=2).stderr
    assert (home / "key").read_bytes() == key


def test_a_missing_home_is_named_in_the_language_of_the_locale(empty: Shell) -> None:
    assert "中没有 Tagcast" in empty("contacts", "count", code=2, LANG="zh_CN.UTF-8").stderr
    assert "There is no Tagcast" in empty("contacts", "count", code=2).stderr
    assert "中没有 Tagcast" in empty("contacts", "count", "--lang", "zh", code=2).stderr


def test_with_json_an_error_is_a_problem_object_on_stderr(tagcast: Shell) -> None:
    done = tagcast("tags", "history", "没有", "--json", code=2)
    problem = json.loads(done.stderr)
    assert (problem["code"], problem["status"]) == ("tags.unknown", 404)
    assert problem["type"] == "/problems/tags.unknown"
    assert "没有" in problem["detail"]
    assert problem["remedy"]
    assert done.stdout == ""


def test_an_unknown_setting_is_an_error(tagcast: Shell) -> None:
    assert "colour" in tagcast("contacts", "count", code=2, TAGCAST_COLOUR="blue").stderr


def test_global_options_may_stand_anywhere(tagcast: Shell) -> None:
    assert tagcast("--json", "contacts", "count").stdout == tagcast("contacts", "count", "--json").stdout


def test_keys_are_made_listed_and_revoked(tagcast: Shell) -> None:
    made = tagcast.json("key", "issue", "crm")
    key_id = made["api_key"].split("_")[1]
    assert [row["revoked"] for row in tagcast.json("key", "ls") if row["name"] == "crm"] == [None]
    tagcast("key", "revoke", key_id)
    assert all(row["revoked"] for row in tagcast.json("key", "ls") if row["id"] == key_id)
    assert "no API key" in tagcast("key", "revoke", key_id, code=2).stderr


def test_doctor_finds_a_key_that_others_can_read(tagcast: Shell, home: Path) -> None:
    states = {line["check"]: line["state"] for line in tagcast.json("doctor")}
    assert states.pop("accounts") == "warn"
    assert set(states.values()) == {"ok"}
    (home / "key").chmod(0o644)
    done = tagcast("doctor", code=1)
    assert "✗ key" in done.stdout
    assert f"chmod 600 {home / 'key'}" in done.stdout


def test_nothing_is_done_unasked_without_a_terminal(tagcast: Shell, tmp_path: Path) -> None:
    file, mapping = people(tmp_path)
    tagcast("contacts", "import", file, "--map", mapping)
    assert "--yes" in tagcast("contacts", "erase", "customer_id:c1", code=2).stderr
    assert tagcast.json("contacts", "show", "customer_id:c1")
    tagcast("contacts", "erase", "customer_id:c1", "--yes")
    assert "Nobody is known" in tagcast("contacts", "show", "customer_id:c1", code=2).stderr


def people(folder: Path) -> tuple[Path, Path]:
    file, mapping = folder / "people.csv", folder / "map.toml"
    file.write_bytes("编号,备注\nc1,甲\nc2,乙\n,丙\n".encode("gb18030"))
    mapping.write_text('"编号" = "identity:customer_id"\n', "utf-8")
    return file, mapping


def test_import_names_what_is_refused_and_is_done_once(tagcast: Shell, tmp_path: Path) -> None:
    file, mapping = people(tmp_path)
    rehearsed = tagcast.json("contacts", "import", file, "--map", mapping, "--dry-run")
    assert (rehearsed["made"], rehearsed["refused"]) == (2, 1)
    assert tagcast("contacts", "count").stdout == "0\n"
    first = tagcast.json("contacts", "import", file, "--map", mapping, "--errors", tmp_path / "bad.csv")
    assert (first["made"], first["refused"], first["dropped"]) == (2, 1, ["备注"])
    assert "丙" in (tmp_path / "bad.csv").read_text("utf-8-sig")
    again = tagcast.json("contacts", "import", file, "--map", mapping)
    assert again["already"] is True
    assert tagcast("contacts", "count").stdout == "2\n"


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("missing.csv", "files.no_file"),
        ("people.csv", "contacts.no_column"),
    ],
)
def test_a_wrong_import_is_refused(tagcast: Shell, tmp_path: Path, line: str, code: str) -> None:
    people(tmp_path)
    mapping = tmp_path / "wrong.toml"
    mapping.write_text('nothing = "identity:customer_id"\n', "utf-8")
    done = tagcast("contacts", "import", tmp_path / line, "--map", mapping, "--json", code=2)
    assert json.loads(done.stderr)["code"] == code


def test_tags_are_made_given_taken_back_and_remembered(tagcast: Shell, tmp_path: Path) -> None:
    file, mapping = people(tmp_path)
    tagcast("contacts", "import", file, "--map", mapping)
    tagcast("tags", "add", "会员/金卡", "--parents")
    given = tagcast.json("tags", "apply", "会员/金卡", "--contact", "customer_id:c1", "--contact", "2", "--why", "活动")
    assert given["size"] == 2
    assert tagcast.json("tags", "apply", "会员/金卡", "--contact", "1") == {"size": 0, "seq": None}
    tree = tagcast.json("tags", "ls")
    assert [(row["path"], row["own"], row["below"]) for row in tree] == [("会员", 0, 2), ("会员/金卡", 2, 2)]
    tagcast("tags", "undo", given["seq"])
    assert [row["own"] for row in tagcast.json("tags", "ls")] == [0, 0]
    assert [row["op"] for row in tagcast.json("tags", "history", "会员/金卡")] == ["remove", "add"]


def test_secrets_never_come_from_the_command_line(tagcast: Shell, tmp_path: Path) -> None:
    assert "No such option" in tagcast("account", "add", "service", "店", "--secret", "x", code=2).stderr
    file = tmp_path / "secrets"
    file.write_text("secret=0123456789abcdef\n", "utf-8")
    made = tagcast.json(
        "account", "add", "service", "店", "--appid", "wx0123456789abcdef", "--secrets", file, "--no-check"
    )
    assert "0123456789abcdef" not in json.dumps({**made, "appid": ""})
    gone = tagcast("account", "check", "店", "--json", code=2, TAGCAST_HTTP_TIMEOUT_SECONDS="0.001")
    assert json.loads(gone.stderr)["code"].startswith("accounts.")


def test_a_damaged_database_is_named_without_data_or_traceback(tagcast: Shell, home: Path) -> None:
    (home / "tagcast.db").write_bytes(b"not a database at all, but long enough to be read" * 100)
    (home / "tagcast.db-wal").unlink(missing_ok=True)
    done = tagcast("contacts", "count", code=2, process=True)
    assert "tagcast.db" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_segment_is_counted_kept_explained_and_used_for_tagging(tagcast: Shell, tmp_path: Path) -> None:
    file, mapping = tmp_path / "people.csv", tmp_path / "map.toml"
    file.write_text("id,地区\nc1,北京\nc2,上海\nc3,北京\n", "utf-8")
    mapping.write_text('id = "identity:customer_id"\n"地区" = "attribute:region"\n', "utf-8")
    tagcast("contacts", "declare", "region", "choice", "--purpose", "marketing")
    tagcast("contacts", "import", file, "--map", mapping)
    assert tagcast("segment", "count", 'region = "北京"').stdout == "2\n"
    tagcast("segment", "save", "北方", 'region = "北京"')
    assert [(row["name"], row["count"]) for row in tagcast.json("segment", "ls")] == [("北方", 2)]
    (tmp_path / "rule.json").write_text(json.dumps({"segment": "北方"}), "utf-8")
    assert tagcast("segment", "count", f"@{tmp_path / 'rule.json'}").stdout == "2\n"
    assert tagcast.json("segment", "explain", "=北方", "customer_id:c2")["holds"] is False
    tagcast("tags", "add", "北方客户")
    assert tagcast.json("segment", "tag", "=北方", "北方客户")["holders"] == 2
    unknown = json.loads(tagcast("segment", "count", 'colour = "red"', "--json", code=2).stderr)
    assert "colour" in unknown["detail"]
    tagcast("segment", "export", "=北方", tmp_path / "out.csv", "--columns", "identity:customer_id")
    assert (tmp_path / "out.csv").read_text("utf-8-sig").replace('"', "").split() == [
        "identity:customer_id",
        "c1",
        "c3",
    ]


def test_events_become_rfm_classes(tagcast: Shell, tmp_path: Path) -> None:
    file, mapping = people(tmp_path)
    tagcast("contacts", "import", file, "--map", mapping)
    tagcast("events", "declare", "purchase", "--purpose", "marketing")
    bought, columns = tmp_path / "bought.csv", tmp_path / "bought.json"
    bought.write_text("id,day,amt\nc1,2026-01-05,10.50\nc2,2026-02-01,20\nc9,2026-01-01,5\n", "utf-8")
    columns.write_text('{"id": "contact:customer_id", "day": "at", "amt": "amount"}', "utf-8")
    done = tagcast.json("events", "import", bought, "--type", "purchase", "--map", columns)
    assert (done["made"], done["refused"]) == (2, 1)
    table = tagcast.json("features", "rfm", "--as-of", "2026-03-01")
    assert table["contacts"] == 2
    assert (table["classes"]["重要价值"], table["classes"]["一般挽留"]) == (1, 1)
    # What cannot be deleted is told before anybody is asked; without a terminal asking would be refused.
    tagcast("features", "define", "orders", "--event", "purchase")
    for name, code in (("nix", "features.no_feature"), ("rfm", "features.standard"), ("orders", "cli.not_confirmed")):
        assert json.loads(tagcast("features", "delete", name, "--json", code=2).stderr)["code"] == code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "cli.no_file"),
        ("{", "cli.bad_json"),
        ('{"name": "x"}', "cli.bad_broadcast"),
        ('{"name": "x", "account": "没有", "audience": "all", "content": {"kind": "text"}}', "accounts.no_account"),
    ],
)
def test_a_wrong_draft_is_refused(tagcast: Shell, tmp_path: Path, content: str | None, code: str) -> None:
    file = tmp_path / "draft.json"
    if content is not None:
        file.write_text(content, "utf-8")
    assert json.loads(tagcast("broadcast", "draft", file, "--json", code=2).stderr)["code"] == code
    assert tagcast.json("broadcast", "ls") == []


def test_callback_keys_are_replaced_from_the_file_of_secrets(tagcast: Shell, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.env"
    secrets.write_text("secret=abcdef\n")
    add = ("account", "add", "official", "news", "--appid", "wx0123456789abcdef", "--no-check", "--secrets", secrets)
    assert "Token " in tagcast(*add).stderr
    secrets.write_text("callback_token=mytoken\n")
    assert "encoding_aes_key" in tagcast("account", "secret", "news", "--secrets", secrets, code=2).stderr
    secrets.write_text(f"callback_token=mytoken\nencoding_aes_key={'a' * 42}A\n")
    assert tagcast.json("account", "secret", "news", "--secrets", secrets) == {"replaced": "news"}
    secrets.write_text("")
    assert "needs secret" in tagcast("account", "secret", "news", "--secrets", secrets, code=2).stderr


def test_an_account_of_no_kind_is_not_called_one(tagcast: Shell) -> None:
    assert tagcast("account", "add", code=2).stderr.startswith("kind is missing.")


def test_a_second_account_of_one_platform_account_is_pointed_out(tagcast: Shell, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.env"
    secrets.write_text("secret=abcdef\n")
    add = ("--appid", "wx0123456789abcdef", "--secrets", secrets, "--no-check")
    assert "already" not in tagcast("account", "add", "official", "one", *add).stderr
    assert "connected already, as one" in tagcast("account", "add", "official", "two", *add).stderr


def test_a_broadcast_that_compliance_leaves_nobody_for_ends_with_four(tagcast: Shell, tmp_path: Path) -> None:
    secrets = tmp_path / "secrets.env"
    secrets.write_text("secret=abcdef\n")
    tagcast("account", "add", "official", "news", "--appid", "wx0123456789abcdef", "--secrets", secrets, "--no-check")
    draft = tmp_path / "draft.json"
    content = {"kind": "text", "text": "你好"}
    draft.write_text(json.dumps({"name": "hello", "account": "news", "audience": "all", "content": content}))
    number = tagcast.json("broadcast", "draft", draft)["id"]
    plan = tagcast.json("broadcast", "plan", number)["hash"]
    refused = tagcast("broadcast", "send", plan, "--yes", code=4)
    assert "Nobody is left" in refused.stderr
    assert tagcast.json("broadcast", "status", number)["state"] == "draft"


def test_the_demo_overwrites_nothing(tagcast: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "notes.txt").write_text("keep")
    refused = tagcast("demo", "--folder", folder, code=2)
    assert str(folder) in refused.stderr
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]


def test_segments_are_looked_into(tagcast: Shell, tmp_path: Path) -> None:
    file, mapping = tmp_path / "people.csv", tmp_path / "map.toml"
    file.write_text("id,地区\nc1,北京\nc2,上海\nc3,北京\n", "utf-8")
    mapping.write_text('id = "identity:customer_id"\n"地区" = "attribute:region"\n', "utf-8")
    tagcast("contacts", "declare", "region", "choice", "--purpose", "marketing")
    tagcast("contacts", "import", file, "--map", mapping)
    tagcast("segment", "save", "北方", 'region = "北京"')
    told = tagcast("segment", "explain", "=北方", "customer_id:c1", "--lang", "zh").stdout
    assert told.startswith("* ✓ region")
    assert "region 为 北京" in told
    rows = tagcast("segment", "overlap", "=北方", "all").stdout
    assert 'all and not region = "北京"' in rows
    assert tagcast.json("segment", "matrix", "=北方", "all")[0]["both"] == 2
    assert tagcast.json("segment", "table", "region")["total"] == 3
    assert tagcast("segment", "table", "region", "--cell", "0").stdout == 'region = "上海"\n'
    tagcast("segment", "table", "region", "--cell", "x", code=2)
    tagcast("segment", "table", "region", "--file", tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text("utf-8").splitlines()[1:] == ["上海,1", "北京,2", "unknown,0"]
    assert tagcast.json("segment", "plan", "=北方")["size"] == 2
    assert tagcast.json("segment", "diff", "=北方", "2020-01-01", "--sample", 1)["came"] == 2
    assert "+ 1" in tagcast("segment", "diff", "=北方", "2020-01-01", "--sample", 3).stdout
    tagcast("segment", "diff", "=北方", "yesterday", code=2)
    assert tagcast.json("segment", "sizes", "北方", "--record")["now"] == 2
    assert tagcast.json("segment", "keep", "北方", "--every", 24)["kept"] == 2
    assert tagcast.json("segment", "renew", "北方")["kept"] == 2
    tagcast("segment", "rename", "北方", "华北")
    assert tagcast.json("segment", "show", "华北")["refresh"] == "scheduled"
    tagcast("segment", "rm", "华北")
    assert tagcast.json("segment", "restore")[0]["name"] == "华北"
    tagcast("segment", "restore", "华北")
    tagcast("segment", "restore", "华北", code=2)
