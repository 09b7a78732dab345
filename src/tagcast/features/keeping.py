"""Computed columns written into sets, so that only what differs is written."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pyroaring import BitMap

from tagcast import bitmaps
from tagcast.contacts import Attribute
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Column:
    """The values of one field: a row a contact, ascending; for a choice an index into its choices.

    `concerned`: the contacts whose value may have changed, with or without a row; None: everybody, whoever has no row
    loses what was there.
    """

    attribute: Attribute
    contact: NDArray[np.uint32]
    values: NDArray[np.int64] | NDArray[np.uint8]
    concerned: BitMap | None = None


def among(column: Column, everyone: BitMap) -> Column:
    """The column without contacts who are no more: they may have been erased since it was computed."""
    gone = bitmaps.pack(column.contact) - everyone
    if not gone:
        return column
    there = ~np.isin(column.contact, bitmaps.unpack(gone))
    return replace(column, contact=column.contact[there], values=column.values[there])


def keep(work: Work, column: Column, *, why: str) -> BitMap:
    """Write a column; returns the contacts whose value really changed."""
    sets = _choices(column) if column.attribute.type == "choice" else _planes(work, column)
    changed = BitMap()
    for key, ones in sets.items():
        before = work.bitmaps.read(key)
        gone = (before if column.concerned is None else before & column.concerned) - ones
        new = ones - before
        if gone:
            work.bitmaps.remove(key, gone, why=why)
        if new:
            work.bitmaps.add(key, new, why=why)
        changed |= gone | new
    return changed


def clear(work: Work, attribute: Attribute, members: BitMap | None = None, *, why: str) -> None:
    """Take the value away from some contacts, or from all."""
    for prefix in (f"{attribute.key}#", f"{attribute.key}="):
        for key in work.bitmaps.keys(prefix):
            gone = work.bitmaps.read(key)
            work.bitmaps.remove(key, gone if members is None else gone & members, why=why)


def _choices(column: Column) -> dict[str, BitMap]:
    key = column.attribute.key
    contact, index = _rows(column)
    return {
        f"{key}={name}": bitmaps.pack(contact[np.flatnonzero(index == at)])
        for at, name in enumerate(column.attribute.choices)
    }


def _planes(work: Work, column: Column) -> dict[str, BitMap]:
    key = column.attribute.key
    contact, values = _rows(column)
    size = np.abs(values) if values.dtype.kind == "i" else values
    width = int(size.max()).bit_length() if len(size) else 0
    there = (name.removeprefix(f"{key}#") for name in work.bitmaps.keys(f"{key}#"))
    width = max((width, *(int(bit) + 1 for bit in there if bit.isdecimal())))
    planes = {f"{key}#known": bitmaps.pack(contact), f"{key}#sign": bitmaps.pack(contact[values < 0])}
    for bit in range(width):
        # Many times faster than by a mask.
        planes[f"{key}#{bit}"] = bitmaps.pack(contact[np.flatnonzero((size >> bit & 1) != 0)])
    return planes


def _rows(column: Column) -> tuple[NDArray[np.uint32], NDArray[np.int64] | NDArray[np.uint8]]:
    if column.concerned is None:
        return column.contact, column.values
    mask = np.isin(column.contact, bitmaps.unpack(column.concerned), assume_unique=True)
    return column.contact[mask], column.values[mask]
