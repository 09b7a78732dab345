"""Imports: mapping, refusals, repetition, kills; exports."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pyroaring import BitMap

from tagcast import contacts, files
from tagcast.files import Row
from tagcast.kit.errors import Conflict, Invalid
from tagcast.kit.uow import Runtime, Work

MAPPING = {
    "会员号": "identity:customer_id",
    "手机": "identity:phone",
    "地区": "attribute:region",
    "消费": "attribute:spend",
    "姓名": "text:name",
    "营销": "consent:marketing",
}
CONTENT = """会员号,手机,地区,消费,姓名,营销,备注
A1,13800000001,华东,12.5,李雷,是,x
A2,13800000002,华南,abc,韩梅,是,x
A3,13800000003,华南,,小明,否,x
A1,13800000003,华东,1,混,是,x
,,华东,1,无名,是,x
A4,13800000004,华东,1,大伟,maybe,x
A5,"13800000005,华东
A6,1.38E+10,华东,1,丁,是,x
A1,,华北,20,李雷,,x
"""


def declare(work: Work) -> None:
    contacts.declare_attribute(work, "region", "choice", purpose="nearby")
    contacts.declare_attribute(work, "spend", "number", purpose="value", scale=2)
    contacts.declare_attribute(work, "name", "text", purpose="address people")


def consent(work: Work, purpose: str, granted: BitMap, withdrawn: BitMap) -> None:
    work.bitmaps.add(f"consent:{purpose}", granted, why="t")
    work.bitmaps.remove(f"consent:{purpose}", withdrawn, why="t")


def counts(result: contacts.ImportResult) -> tuple[int, int, int, int, int]:
    return result.rows, result.made, result.matched, result.changed, result.refused


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "members.csv"
    path.write_bytes(CONTENT.encode("gbk"))
    return path


def test_good_rows_come_in_and_bad_rows_come_back_with_reasons(runtime: Runtime, source: Path) -> None:
    with runtime.work(1, "t") as work:
        declare(work)
    seen: list[tuple[int, int, int]] = []
    result = contacts.import_contacts(
        runtime, 1, source, MAPPING, above=contacts.Above(consent), progress=lambda *told: seen.append(told)
    )
    assert counts(result) == (9, 2, 1, 0, 6)
    assert result.dropped == ("备注",)
    assert seen == [(source.stat().st_size, source.stat().st_size, 9)]
    assert [(problem.line, problem.code) for problem in result.problems] == [
        (3, "contacts.bad_number"),
        (5, "contacts.identity_conflict"),
        (6, "contacts.no_identity"),
        (7, "contacts.bad_flag"),
        (8, "files.quote"),
        (9, "contacts.phone_mangled"),
    ]
    assert result.refused_file is not None
    refused = [row for row, _ in files.open_table(result.refused_file).rows() if isinstance(row, Row)]
    assert [row.values["line"] for row in refused] == ["3", "5", "6", "7", "8", "9"]
    assert refused[0].values["消费"] == "abc"
    assert "spend" in refused[0].values["reason_en"]
    assert "不是数字" in refused[0].values["reason_zh"]
    with runtime.read(1, "t") as work:
        assert contacts.everyone(work) == BitMap([1, 2])
        one = contacts.describe(work, 1)
        assert (one.attributes["region"], str(one.attributes["spend"])) == ("华北", "20.00")
        assert work.bitmaps.read("consent:marketing") == BitMap([1])
        assert work.bitmaps.history("attribute:region=华北")[0].why == f"import {result.job}"


def test_the_same_file_again_changes_nothing(runtime: Runtime, source: Path, tmp_path: Path) -> None:
    with runtime.work(1, "t") as work:
        declare(work)
    first = contacts.import_contacts(runtime, 1, source, MAPPING, above=contacts.Above(consent))
    again = contacts.import_contacts(runtime, 1, source, MAPPING, above=contacts.Above(consent))
    assert again.already
    assert counts(again) == counts(first)
    other = tmp_path / "other.csv"
    other.write_text("会员号,手机,地区\nA1,13800000001,华北\nA3,,华南\nA9,,华北\n")
    mapping = {name: MAPPING[name] for name in ("会员号", "手机", "地区")}
    with runtime.read(1, "t") as work:
        before = {key: work.bitmaps.version(key) for key in work.bitmaps.keys("attribute:region=华南")}
    result = contacts.import_contacts(runtime, 1, other, mapping)
    assert counts(result) == (3, 1, 2, 0, 0)
    assert result.refused_file is None
    with runtime.read(1, "t") as work:
        assert {key: work.bitmaps.version(key) for key in before} == before


def test_a_dry_run_reports_all_and_changes_nothing(runtime: Runtime, source: Path) -> None:
    with runtime.work(1, "t") as work:
        declare(work)
    rehearsed = contacts.import_contacts(runtime, 1, source, MAPPING, above=contacts.Above(consent), dry_run=True)
    with runtime.read(1, "t") as work:
        assert work.bitmaps.keys("") == []
        assert contacts.numbers_of(work, "customer_id", ["A1"]) == [None]
    assert not (runtime.settings.home / "imports").exists()
    real = contacts.import_contacts(runtime, 1, source, MAPPING, above=contacts.Above(consent))
    assert counts(rehearsed) == counts(real)
    assert rehearsed.problems == real.problems


@pytest.mark.parametrize(
    ("mapping", "code", "named"),
    [
        ({"会员": "identity:customer_id"}, "no_column", "会员号"),
        ({"会员号": "identity:customer"}, "bad_kind", "customer_id"),
        ({"会员号": "identity:openid"}, "bad_account", "openid"),
        ({"会员号": "identity:openid:x"}, "unknown_target", "openid"),
        ({"会员号": "identity:customer_id", "地区": "attribute:regoin"}, "unknown_target", "attribute:region"),
        ({"会员号": "identity:customer_id", "地区": "text:region"}, "unknown_target", "text:name"),
        ({"会员号": "identity:customer_id", "营销": "consent:marketing"}, "unknown_target", "ignore"),
        ({"地区": "attribute:region"}, "no_identity_column", "customer_id"),
    ],
)
def test_a_wrong_mapping_is_refused_before_anything(
    runtime_sqlite: Runtime, source: Path, mapping: dict[str, str], code: str, named: str
) -> None:
    with runtime_sqlite.work(1, "t") as work:
        declare(work)
    with pytest.raises(Invalid, match=named) as caught:
        contacts.import_contacts(runtime_sqlite, 1, source, mapping)
    assert caught.value.code == f"contacts.{code}"
    with runtime_sqlite.read(1, "t") as work:
        assert contacts.everyone(work) == BitMap()


def test_an_import_that_runs_twice_at_once_is_stopped(runtime: Runtime, source: Path) -> None:
    with runtime.work(1, "t") as work:
        declare(work)
    mapping = {"会员号": "identity:customer_id"}

    def meddle(_done: int, _total: int, _rows: int) -> None:
        from tagcast.contacts import store

        with runtime.work(1, "other") as work:
            assert store.advance_job(work, 1, 9, {"records": 10})

    with pytest.raises(Conflict, match="import 1"):
        contacts.import_contacts(runtime, 1, source, mapping, progress=meddle)


WORKER = """
import sys
from pathlib import Path
from tagcast import contacts
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime
runtime = open_runtime(Settings(home=Path(sys.argv[1]), database_url=sys.argv[3]))
mapping = {"id": "identity:customer_id", "region": "attribute:region"}
def told(done, total, rows):
    print(rows, flush=True)
contacts.import_contacts(runtime, 1, Path(sys.argv[2]), mapping, progress=told)
"""


def test_a_killed_import_goes_on_and_repeats_nothing(runtime: Runtime, tmp_path: Path) -> None:
    total = 82_000
    path = tmp_path / "many.csv"
    # So wide that a chunk has 20,000 rows.
    wide = "".join(f",x{n}" for n in range(58))
    rows = (f"C{n},{'华东' if n % 3 else ''}{',' * 58}" + (",surplus" if n % 1000 == 0 else "") for n in range(total))
    path.write_text(f"id,region{wide}\n" + "\n".join(rows) + "\n")
    with runtime.work(1, "t") as work:
        declare(work)
    command = [sys.executable, "-c", WORKER, str(runtime.settings.home), str(path), runtime.settings.database_url]
    kills = 0
    for rows_before_kill in (1, 21_000, 41_000):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if int(line) >= rows_before_kill:
                    time.sleep(0.005)
                    os.kill(process.pid, signal.SIGKILL)
                    break
            kills += process.wait() == -signal.SIGKILL
    assert kills == 3
    mapping = {"id": "identity:customer_id", "region": "attribute:region"}
    result = contacts.import_contacts(runtime, 1, path, mapping)
    assert counts(result) == (total, total - 82, 0, 0, 82)
    assert result.refused_file is not None
    refused = [row.values["id"] for row, _ in files.open_table(result.refused_file).rows() if isinstance(row, Row)]
    assert refused == [f"C{n}" for n in range(0, total, 1000)]
    with runtime.read(1, "t") as work:
        assert contacts.everyone(work) == BitMap(range(1, total - 82 + 1))
        assert contacts.choices(work, "region") == {"华东": sum(n % 3 != 0 and n % 1000 != 0 for n in range(total))}


def test_mappings_are_read_from_toml_and_json(tmp_path: Path) -> None:
    toml, json, bad = tmp_path / "m.toml", tmp_path / "m.json", tmp_path / "bad.toml"
    toml.write_text('"会员号" = "identity:customer_id"\n')
    json.write_text('{"会员号": "identity:customer_id"}')
    bad.write_text("[columns]\na = 1\n")
    assert contacts.load_mapping(toml) == contacts.load_mapping(json) == {"会员号": "identity:customer_id"}
    with pytest.raises(Invalid, match=r"bad\.toml"):
        contacts.load_mapping(bad)


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_an_export_can_be_read_again(runtime_sqlite: Runtime, source: Path, tmp_path: Path, kind: str) -> None:
    with runtime_sqlite.work(1, "t") as work:
        declare(work)
    contacts.import_contacts(runtime_sqlite, 1, source, MAPPING, above=contacts.Above(consent))
    path = tmp_path / "out"
    columns = ["number", "identity:phone", "attribute:spend", "text:name"]
    with runtime_sqlite.read(1, "t") as work:
        assert contacts.export(work, contacts.everyone(work), columns, path, format=kind) == 2  # type: ignore[arg-type]  # parametrised
        with pytest.raises(Invalid, match="secret"):
            contacts.export(work, contacts.everyone(work), ["secret"], path)
    assert [list(row.values.values()) for row, _ in files.open_table(path).rows() if isinstance(row, Row)] == [
        ["1", "13800000001", "20.00", "李雷"],
        ["2", "13800000003", "", "小明"],
    ]
