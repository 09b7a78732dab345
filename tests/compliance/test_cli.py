"""`tagcast caps`, `quiet` and `consent`, in a home of their own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pyroaring import BitMap
from tests.cli.conftest import Shell

from tagcast import access, accounts, contacts
from tagcast.contacts import Identity, PersonIn
from tagcast.kit.settings import Settings
from tagcast.kit.uow import Work


@pytest.fixture
def tagcast(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Shell:
    home = tmp_path / "home"
    access.initialise(Settings(home=home))
    runtime = access.open_home(Settings(home=home))
    with runtime.work(1, "test") as work:
        contacts.ensure(work, [PersonIn({Identity("customer_id"): f"m{number}"}) for number in range(1, 6)])
        new = accounts.NewAccount("official", "主号", "secret", appid="wx0123456789abcdef", profile="platform")
        accounts.add(work, new)
    runtime.close()
    return Shell(home, capsys)


def test_caps_by_commands(tagcast: Shell) -> None:
    (monthly,) = tagcast.json("caps", "ls")
    assert (monthly["scope"], monthly["period"], monthly["value"]) == ("all", "month", 8)
    assert tagcast.json("caps", "set", "account:主号", "day", 1)["scope"] == "account:1"
    tagcast("caps", "set", "kind:official", "week", 3, "--why", "品牌规定")
    assert [(row["scope"], row["value"]) for row in tagcast.json("caps", "ls")] == [
        ("all", 8), ("account:1", 1), ("kind:official", 3),
    ]  # fmt: skip
    assert "全部账号" in tagcast("caps", "ls", "--lang", "zh").stdout
    uses = tagcast.json("caps", "used", "customer_id:m1", "主号")
    assert {use["name"]: (use["used"], use["left"]) for use in uses} == {
        "all:month": (0, 8), "account:1:day": (0, 1), "kind:official:week": (0, 3),
    }  # fmt: skip
    tagcast("caps", "unset", "account:主号", "day")
    assert "account:1" not in tagcast("caps", "ls").stdout
    assert "caps unset" in tagcast("caps", "set", "all", "day", 1001, code=2).stderr
    assert "15" in tagcast("caps", "set", "all", "month", 16, "--why", "more", code=4).stderr
    assert tagcast.json("caps", "zone")["whose"] == "account"
    tagcast("contacts", "declare", "tz", "choice", "--purpose", "to write at their hours")
    assert tagcast.json("caps", "zone", "person", "--attribute", "tz")["attribute"] == "tz"
    assert "Asia/Shanghai" in tagcast("caps", "zone", "person", code=2).stderr


def test_quiet_hours_by_commands(tagcast: Shell) -> None:
    shown = tagcast.json("quiet", "show")
    assert (shown["on"], shown["start"], shown["end"], shown["exempt"]) == (True, "22:00", "08:00", [])
    made = tagcast.json("quiet", "set", "21:30", "9:00", "--exempt", "service", "--why", "board")
    assert (made["start"], made["end"], made["exempt"], made["source"]) == ("21:30", "09:00", ["service"], "board")
    assert "21:30" in tagcast("quiet", "show", "--lang", "zh").stdout
    assert tagcast.json("quiet", "next", "主号", "--purpose", "service")["quiet"] == 0
    assert tagcast.json("quiet", "off", "--why", "a test")["on"] is False
    assert tagcast.json("quiet", "next", "主号")["quiet"] == 0
    assert tagcast.json("quiet", "on")["start"] == "21:30"
    for times in (("22:10", "08:00"), ("25:00", "08:00"), ("22:00", "22:00")):
        tagcast("quiet", "set", *times, code=2)


def test_consents_by_commands(tagcast: Shell, tmp_path: Path) -> None:
    assert tagcast.json("consent", "set", "marketing", "on", "--segment", "all", "--why", "form")["changed"] == 5
    people = tmp_path / "people.csv"
    people.write_text("customer_id\nm2\nm3\nm9\n", "utf-8")
    refused = tagcast.json("consent", "set", "personalisation", "off", "--file", people, "--why", "来电")
    assert (refused["contacts"], refused["changed"], refused["unknown"]) == (2, 2, 1)
    assert tagcast.json("consent", "set", "personalisation", "on", 3, "--why", "asked again")["changed"] == 1
    assert tagcast.json("consent", "set", "suppressed", "on", "customer_id:m4", "--why", "投诉")["changed"] == 1
    assert tagcast.json("consent", "set", "minor", "on", 5, "--why", "the mother called")["changed"] == 1
    counts = {row["what"]: row["contacts"] for row in tagcast.json("consent", "ls")}
    assert counts == {"marketing": 5, "service": 0, "suppressed": 1, "personalisation off": 1, "minor": 1}
    for what, numbers in (("personalisation", "2"), ("suppressed", "4"), ("minor", "5"), ("marketing", "1 2 3 4 5")):
        tagcast("consent", "export", what, tmp_path / f"{what}.csv")
        assert (tmp_path / f"{what}.csv").read_text("utf-8-sig").split()[1:] == numbers.split()
    assert "minor" in tagcast("consent", "export", "profiling", tmp_path / "x.csv", code=2).stderr
    shown = tagcast.json("consent", "show", "customer_id:m2")
    assert (shown["personalised"], shown["consented"]) == (False, ["marketing"])
    assert [record["purpose"] for record in shown["records"]] == ["personalisation", "marketing"]
    assert "撤回" in tagcast("consent", "show", "2", "--lang", "zh").stdout
    tagcast("consent", "set", "minor", "on", 99, "--why", "x", code=2)
    tagcast("consent", "set", "marketing", "on", code=2)
    assert "personalisation" in tagcast("consent", "set", "profiling", "on", 1, "--why", "x", code=2).stderr


def test_an_import_states_refusals_of_personalisation(tagcast: Shell, tmp_path: Path) -> None:
    rows, mapping = tmp_path / "rows.csv", tmp_path / "map.toml"
    rows.write_text("id,personal\nm1,否\nm2,是\nm3,\nm4,no\n", "utf-8")
    mapping.write_text('id = "identity:customer_id"\npersonal = "consent:personalisation"\n', "utf-8")
    assert tagcast.json("contacts", "import", rows, "--map", mapping)["matched"] == 4
    standing = [tagcast.json("consent", "show", number) for number in range(1, 5)]
    assert [one["personalised"] for one in standing] == [False, True, True, False]
    assert [one["records"][0]["source"] if one["records"] else "" for one in standing] == [
        "import",
        "import",
        "",
        "import",
    ]


def test_how_minors_are_told_by_commands(tagcast: Shell) -> None:
    assert tagcast.json("consent", "minors")["attribute"] == "–"
    tagcast("contacts", "declare", "age_band", "choice", "--purpose", "to leave minors alone")
    tagcast("consent", "minors", "--attribute", "age_band", code=2)
    made = tagcast.json("consent", "minors", "--attribute", "age_band", "--band", "0-13", "--band", "14-17")
    assert (made["attribute"], made["bands"], made["years"]) == ("age_band", ["0-13", "14-17"], 18)
    assert tagcast.json("consent", "minors", "--none")["attribute"] == "–"


def test_the_doctor_tells_what_can_no_longer_be_asked(tagcast: Shell) -> None:
    def told(code: int = 0) -> tuple[str, str]:
        lines = json.loads(tagcast("doctor", "--json", code=code).stdout)
        return next((line["state"], line["text"]) for line in lines if line["check"] == "compliance")

    assert told() == ("ok", "1 caps on messages to a person; quiet hours 22:00–08:00")
    tagcast("contacts", "declare", "tz", "choice", "--purpose", "to write at their hours")
    tagcast("contacts", "declare", "birthday", "date", "--purpose", "to leave minors alone")
    tagcast("caps", "zone", "person", "--attribute", "tz")
    tagcast("consent", "minors", "--attribute", "birthday")
    with attributes(tagcast) as work:
        contacts.set_choices(work, "tz", {"Mars": BitMap([1, 2])}, why="test")
    assert told()[0] == "warn"
    assert "Mars" in told()[1]
    with attributes(tagcast) as work:
        contacts.forget_attribute(work, "tz")
    assert told(1) == ("fail", told(1)[1])
    with attributes(tagcast) as work:
        contacts.forget_attribute(work, "birthday")
    assert "birthday" in told(1)[1]


@contextmanager
def attributes(tagcast: Shell) -> Iterator[Work]:
    """The home, aside of its commands."""
    runtime = access.open_home(Settings(home=Path(tagcast.environ["TAGCAST_HOME"])))
    with runtime.work(1, "test") as work:
        yield work
    runtime.close()
