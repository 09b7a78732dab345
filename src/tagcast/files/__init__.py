"""Tables in files: CSV and Parquet read row by row, CSV written so that no spreadsheet runs it. No product words."""

from tagcast.files.csv_reader import Limits
from tagcast.files.detect import detect_encoding
from tagcast.files.refused import RefusedRows
from tagcast.files.table import Batch, Refusal, Row, Rows, Table, open_table, sha256
from tagcast.files.writer import safe_cell, strip_guard, write_csv, write_parquet

__all__ = [
    "Batch",
    "Limits",
    "Refusal",
    "RefusedRows",
    "Row",
    "Rows",
    "Table",
    "detect_encoding",
    "open_table",
    "safe_cell",
    "sha256",
    "strip_guard",
    "write_csv",
    "write_parquet",
]
