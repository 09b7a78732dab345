"""`tagcast lake`: state, order, damage, versions."""

from pathlib import Path

from tests.cli.conftest import Shell


def test_events_go_into_the_lake_and_damage_is_found_and_mended(tagcast: Shell, home: Path, tmp_path: Path) -> None:
    assert "No type of event is declared yet" in tagcast("lake", "status").stderr
    people, bought = tmp_path / "people.csv", tmp_path / "bought.csv"
    people.write_text("id\nc1\nc2\n", "utf-8")
    bought.write_text("id,day,amt\nc1,2026-01-05,10.50\nc2,2026-02-03,20\n", "utf-8")
    (tmp_path / "people.json").write_text('{"id": "identity:customer_id"}', "utf-8")
    (tmp_path / "bought.json").write_text('{"id": "contact:customer_id", "day": "at", "amt": "amount"}', "utf-8")
    tagcast("contacts", "import", people, "--map", tmp_path / "people.json")
    tagcast("events", "declare", "purchase", "--purpose", "marketing")
    tagcast("events", "import", bought, "--type", "purchase", "--map", tmp_path / "bought.json")
    assert [(one["type"], one["rows"], one["waiting"]) for one in tagcast.json("lake", "status")] == [
        ("purchase", 0, 1)
    ]
    in_the_way = home / "lake" / "w1"
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("not a folder", "utf-8")
    stuck = tagcast("lake", "compact", code=1).stderr
    assert "cannot be written" in stuck
    assert "stay in the database" in stuck
    assert "{" not in stuck
    in_the_way.unlink()
    assert tagcast.json("lake", "compact") == {"moved": 2, "fewer": 0}
    assert tagcast.json("lake", "status")[0]["first"] == "2026-01-04T16:00:00+00:00"
    assert "2026-01-05 00:00:00+08:00" in tagcast("lake", "status").stdout
    assert [(one["rows"], one["files"], one["waiting"]) for one in tagcast.json("lake", "status")] == [(2, 2, 0)]
    assert [(one["what"], one["rows"]) for one in tagcast.json("lake", "history", "purchase")] == [("append", 2)]
    assert "追加" in tagcast("lake", "history", "purchase", "--lang", "zh").stdout
    assert tagcast.json("lake", "verify") == []
    file = next((home / "lake" / "w1" / "purchase").glob("*.parquet"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert file.name in tagcast("lake", "verify", code=1).stdout
    assert file.name in tagcast("doctor", code=1).stdout
    assert [one["repaired"] for one in tagcast.json("lake", "verify", "--repair")] == [True]
    assert tagcast.json("lake", "verify") == []
    for log in (home / "lake" / "w1" / "purchase" / "_delta_log").glob("*.json"):
        log.write_bytes(log.read_bytes().replace(b'"add"', b'"adl"'))
    assert "_delta_log" in tagcast("doctor", code=1).stdout
    assert "damaged" in tagcast("lake", "status").stderr
    assert [one["rows"] for one in tagcast.json("lake", "verify", "--repair")] == [0, 0]
    assert [one["rows"] for one in tagcast.json("lake", "status")] == [2]
    assert "purchase" in tagcast("lake", "history", "nothing", code=2).stderr
