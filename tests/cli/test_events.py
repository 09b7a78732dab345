"""`tagcast events`: one event, what is refused, counting anew."""

import json
from pathlib import Path

from tests.cli.conftest import Shell


def test_an_event_is_recorded_once_and_days_are_counted_anew(tagcast: Shell, tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text("id\nc1\n", "utf-8")
    (tmp_path / "people.json").write_text('{"id": "identity:customer_id"}', "utf-8")
    tagcast("contacts", "import", tmp_path / "people.csv", "--map", tmp_path / "people.json")
    tagcast("events", "declare", "purchase", "--purpose", "sales", "--properties", "category,price:number,gift:flag")
    told = tagcast.json("events", "ls")
    assert told[0]["properties"] == {"category": "text", "price": "number", "gift": "flag"}
    assert (
        "other_kind"
        in tagcast(
            "events", "declare", "purchase", "--purpose", "sales", "--properties", "price", "--json", code=2
        ).stderr
    )
    given = ["--type", "purchase", "--contact", "customer_id:c1", "--at", "2026-03-01T00:30:00", "--amount", "12.50"]
    more = ["--property", "category=鞋", "--property", "gift=是", "--property", "price=3", "--id", "order-1"]
    assert tagcast.json("events", "record", *given, *more)["recorded"] == 1
    again = tagcast.json("events", "record", *given, *more)
    assert (again["recorded"], again["known"]) == (0, 1)
    for wrong, code in [
        (["--contact", "customer_id:c9"], "behaviour.nobody"),
        (["--property", "colour=x"], "behaviour.no_property"),
        (["--property", "price=many"], "behaviour.bad_value"),
        (["--at", "soon"], "behaviour.bad_time"),
    ]:
        refused = tagcast("events", "record", *given, *wrong, "--json", code=2)
        assert json.loads(refused.stderr)["code"] == code
    # The same moment is another day in London; what comes in meanwhile is told to wait for the recount.
    zone = {"TAGCAST_ZONE": "Europe/London"}
    assert "other_zone" in tagcast("events", "record", *given, "--json", code=2, **zone).stderr
    assert tagcast.json("events", "rebuild", **zone) == {"type": "purchase", "events": 1}
    assert [one["zone"] for one in tagcast.json("events", "ls")] == ["Europe/London"]
    assert tagcast.json("events", "record", *given, **zone)["recorded"] == 1
    assert "个事件" in tagcast("events", "rebuild", "purchase", "--lang", "zh", **zone).stderr
