"""Which columns hold sealed values, so that all can be sealed anew with another key. Each module registers its own."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa


@dataclass(frozen=True, slots=True)
class SealedColumn:
    """A column of a workspace's table, and the context that one of its rows was sealed with."""

    column: sa.Column[Any]
    context: Callable[[sa.Row[Any]], str]

    @property
    def table(self) -> sa.Table:
        """The column's table."""
        table = self.column.table
        assert isinstance(table, sa.Table)
        return table

    @property
    def name(self) -> str:
        """`table.column`."""
        return f"{self.table.name}.{self.column.name}"


_columns: dict[str, SealedColumn] = {}


def register(column: sa.Column[Any], context: Callable[[sa.Row[Any]], str]) -> None:
    """Say that a column is sealed; `context` gets a whole row of its table."""
    found = SealedColumn(column, context)
    _columns[found.name] = found


def columns() -> list[SealedColumn]:
    """All that were registered by the modules loaded so far, by name."""
    return [_columns[name] for name in sorted(_columns)]
