"""Reading and writing of tables."""

import csv
from datetime import date
from pathlib import Path

import pytest

from tagcast import files
from tagcast.files import Refusal, Row
from tagcast.kit.errors import Invalid, NotFound

TEXT = "会员号,地区,备注\nA1,北京,老客户\nA2,上海,新客户\n"


def all_rows(path: Path, **options: str) -> list[Row | Refusal]:
    return [row for row, _ in files.open_table(path, **options).rows()]


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_encodings_and_delimiters_are_found(tmp_path: Path, codec: str, delimiter: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(TEXT.replace(",", delimiter).encode(codec))
    table = files.open_table(path)
    assert table.columns == ["会员号", "地区", "备注"]
    assert table.delimiter == delimiter
    assert [row for row, _ in table.rows()] == [
        Row(2, {"会员号": "A1", "地区": "北京", "备注": "老客户"}),
        Row(3, {"会员号": "A2", "地区": "上海", "备注": "新客户"}),
    ]


def test_gbk_far_behind_ascii_is_found(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,city\n" + b"x,y\n" * 600_000 + "z,深圳\n".encode("gbk"))
    assert files.detect_encoding(path) == "gb18030"


def test_a_given_encoding_wins(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes("id,city\n1,臺北\n".encode("big5"))
    assert all_rows(path, encoding="big5") == [Row(2, {"id": "1", "city": "臺北"})]


def test_bad_rows_are_refused_alone(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(
        b'id,note\n1,"two\nlines"\n\n2,"never closed\n3,ok\n4\n5,a,b\n6,n\0ul\n7,caf\xff\n8,"x"y\n9,"a ""b"" c"\n'
    )
    assert all_rows(path, encoding="utf-8") == [
        Row(2, {"id": "1", "note": "two\nlines"}),
        Refusal(5, ["2", '"never closed'], "quote"),
        Row(6, {"id": "3", "note": "ok"}),
        Refusal(7, ["4"], "ragged"),
        Refusal(8, ["5", "a", "b"], "ragged"),
        Refusal(9, ["6", "nul"], "nul"),
        Refusal(10, ["7", "caf\ufffd"], "encoding"),
        Refusal(11, ["8", '"x"y'], "quote"),
        Row(12, {"id": "9", "note": 'a "b" c'}),
    ]


def test_an_endless_line_is_refused_without_being_kept(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(b"id,note\n1," + b"x" * 3_000_000 + b"\n2,ok\n")
    first, second = all_rows(path)
    assert isinstance(first, Refusal)
    assert (first.line, first.reason) == (2, "long_line")
    assert sum(map(len, first.cells)) < 300
    assert second == Row(3, {"id": "2", "note": "ok"})


def test_too_many_columns_and_bad_headers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(",".join(f"c{n}" for n in range(100_000)) + "\n")
    with pytest.raises(Invalid, match="100000 columns"):
        files.open_table(path)
    for header in ("a,b,a", "a,,b"):
        path.write_text(header + "\n1,2,3\n")
        with pytest.raises(Invalid) as caught:
            files.open_table(path)
        assert caught.value.code == "files.bad_header"
    path.write_text("")
    with pytest.raises(Invalid) as caught:
        files.open_table(path)
    assert caught.value.code == "files.no_header"
    with pytest.raises(NotFound):
        files.open_table(tmp_path / "none.csv")
    with pytest.raises(Invalid, match="klingon"):
        files.open_table(path, encoding="klingon")


def test_parquet_is_told_by_content(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    rows = [("A1", 3, date(2026, 1, 2), True, 1.5), ("A2", None, None, False, 2.0)]
    assert files.write_parquet(path, ["id", "n", "day", "flag", "x"], rows) == 2
    assert all_rows(path) == [
        Row(2, {"id": "A1", "n": "3", "day": "2026-01-02", "flag": "true", "x": "1.5"}),
        Row(3, {"id": "A2", "n": "", "day": "", "flag": "false", "x": "2"}),
    ]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Invalid) as caught:
        files.open_table(path)
    assert caught.value.code == "files.damaged"


def test_no_formula_leaves_and_the_same_text_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    cells = ["=1+1", "+cmd", "-x", "@sum", "\tx", "\rx", "＝1", "plain", "-12.5", "+8613800000000", "'=x", "'quote", ""]
    files.write_csv(path, ["cell", "n"], [(cell, -3) for cell in cells])
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")
    with path.open(encoding="utf-8-sig", newline="") as source:
        written = [row["cell"] for row in csv.DictReader(source)]
    assert [text[:1] in "=+-@\t\r＝＋－＠" and text[:1] != "" for text in written] == [
        text in {"-12.5", "+8613800000000"} for text in written
    ]
    assert [row.values for row in all_rows(path) if isinstance(row, Row)] == [
        {"cell": cell, "n": "-3"} for cell in cells
    ]


def test_refused_rows_can_be_cut_back_and_imported_again(tmp_path: Path) -> None:
    path = tmp_path / "refused.csv"
    with files.RefusedRows(path, ["id", "=x"]) as refused:
        refused.add(3, "原因", "reason", ["1", "=2"])
        length = refused.sync()
        refused.add(4, "原因", "reason", ["lost"])
    with files.RefusedRows(path, ["id", "=x"], at=length) as refused:
        refused.add(5, "甲", "b", ["7"])
    assert all_rows(path) == [
        Row(2, {"line": "3", "reason_zh": "原因", "reason_en": "reason", "id": "1", "=x": "=2"}),
        Row(3, {"line": "5", "reason_zh": "甲", "reason_en": "b", "id": "7", "=x": ""}),
    ]
    assert path.stat().st_mode & 0o077 == 0


def test_batches_go_on_where_they_stopped(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("id\n" + "".join(f"{n}\n" for n in range(10)))
    table = files.open_table(path)
    batches = list(table.batches(4, skip=3))
    assert [[row.line for row in batch] for batch, _ in batches] == [[5, 6, 7, 8], [9, 10, 11]]
    assert batches[-1][1] == table.size
