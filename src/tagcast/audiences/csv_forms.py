"""Tables and sizes as CSV (RFC 4180, UTF-8); a cell that a spreadsheet would run is quoted by an apostrophe."""

import csv
import io
from collections.abc import Iterable, Sequence

from tagcast.audiences.crosstab import Table
from tagcast.audiences.sizes import Trend
from tagcast.kit import clock

_RUN = ("=", "+", "-", "@", "\t", "\r")


def table_csv(table: Table) -> str:
    """One line a cell: its categories, its size and the expression that selects it."""
    heads = [dimension.name for dimension in table.dimensions]
    return _csv(
        [*heads, "size"],
        (
            [*(one.categories[i].label for one, i in zip(table.dimensions, place, strict=True)), size]
            for place, size in zip(table.places(), table.sizes, strict=True)
        ),
    )


def trend_csv(trend: Trend) -> str:
    """One line a size."""
    return _csv(
        ["at", "day", "version", "size", "kept"],
        (
            [clock.from_ms(one.at_ms).isoformat(), one.day.isoformat(), one.version, one.size, str(one.kept).lower()]
            for one in trend.sizes
        ),
    )


def _csv(head: Sequence[str], rows: Iterable[Sequence[str | int]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow([_safe(cell) for cell in head])
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    return out.getvalue()


def _safe(cell: str | int) -> str | int:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_RUN) else cell
