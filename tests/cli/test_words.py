"""What a table or a list of fields is called in Chinese: no column that only the code understands."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import tagcast.cli
from tagcast.cli.frame import Frame
from tagcast.cli.main import app

_CLI = Path(tagcast.cli.__file__).parent
# The same in both languages.
_BOTH = {"appid", "id", "R \\ F"}


def _columns(file: Path) -> Iterator[tuple[str, str]]:
    """(topic, column) of each table that a file draws; a list of columns may have a name in the file."""
    tree = ast.parse(file.read_text("utf-8"))
    named = [
        (target.id, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    ]
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "table"):
            continue
        of = next((str(ast.literal_eval(one.value)) for one in node.keywords if one.arg == "of"), "")
        given = next((one.value for one in node.keywords if one.arg == "columns"), node.args[-1])
        listed = [value for name, value in named if name == given.id] if isinstance(given, ast.Name) else [given]
        for one in listed:
            if isinstance(one, ast.List):
                yield from ((of, item.value) for item in one.elts if isinstance(item, ast.Constant))


def test_every_column_has_a_chinese_name() -> None:
    frame = Frame(lang="zh")
    found = {(file.name, *pair) for file in _CLI.glob("*.py") for pair in _columns(file)}
    assert len(found) > 60
    missing = sorted(one for one in found if frame.word(one[2], one[1]) == one[2] and one[2] not in _BOTH)
    assert [one[1:] for one in missing] == []


def test_a_topic_has_words_and_values_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"left": 3, "do": "create_there", "agentid": 1000010}
    frame = Frame(lang="zh")
    frame.table([row], ["left", "do", "agentid"], of="sync")
    frame.emit({"left": 3}, of="quota")
    assert capsys.readouterr().out.split() == ["已离开", "操作", "应用", "3", "平台新建", "1000010", "剩余", "3"]
    Frame().table([row], ["left", "do", "agentid"], of="sync")
    assert capsys.readouterr().out.split() == ["left", "do", "agentid", "3", "create_there", "1000010"]


def test_help_flows_and_offers_what_is_there() -> None:
    """Lines of the source are no lines of the terminal; the groups offer no completion, which the program has not."""
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="tagcast")
    for name in group.list_commands(context):  # type: ignore[attr-defined]  # a group of typer's private class
        command = group.get_command(context, name)  # type: ignore[attr-defined]  # as above
        assert "--install-completion" not in [option for one in command.params for option in one.opts]
        for one in [command, *getattr(command, "commands", {}).values()]:
            assert "\n" not in (one.help or "").replace("\n\n", ""), (name, one.name)
