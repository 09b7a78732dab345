"""Cross tables: the exact size of every cell of one to four dimensions, by set algebra alone.

A dimension is written in one line:

    region                      a choice or a flag: its values, and unknown
    spend: 0, 100, 500          a number or a date by borders: below 0, from 0 below 100, …, from 500, and unknown
    spend: 4 parts              by quantiles of those in question: equal values stay together
    tag: 会员                   the tags right below a tag (of an account: `tag: 3: 会员`), the tag itself only, none
    segments: 活跃, 沉睡        segments, and none of them

Categories of tags and segments can share contacts: then a row may add up to more than its total.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from pyroaring import BitMap

from tagcast.audiences import bounds, compiler, dimensions
from tagcast.audiences.dimensions import Dimension
from tagcast.audiences.rules import All, And, Expression
from tagcast.kit.errors import Invalid, Refused
from tagcast.kit.uow import Work


@dataclass(frozen=True, slots=True)
class Table:
    """`sizes` of all cells, the last dimension's category running fastest; `margins[d][c]`: of one category alone.

    `within` is what the table is about; `total` counts it.
    """

    within: Expression
    dimensions: tuple[Dimension, ...]
    sizes: tuple[int, ...]
    margins: tuple[tuple[int, ...], ...]
    total: int

    def places(self) -> list[tuple[int, ...]]:
        """The categories of each cell, in the order of `sizes`."""
        found: list[tuple[int, ...]] = [()]
        for dimension in self.dimensions:
            found = [(*place, i) for place in found for i in range(len(dimension.categories))]
        return found

    def cell(self, place: Sequence[int]) -> Expression:
        """The expression that selects one cell; a dimension that is not asked has None. Raises Invalid."""
        if len(place) != len(self.dimensions):
            raise Invalid("audiences.no_cell", dimensions=len(self.dimensions))
        parts: list[Expression] = [] if isinstance(self.within, All) else [self.within]
        for dimension, i in zip(self.dimensions, place, strict=True):
            if not 0 <= i < len(dimension.categories):
                raise Invalid("audiences.no_cell", dimensions=len(self.dimensions))
            parts.append(dimension.categories[i].expression)
        return And(tuple(parts)) if len(parts) > 1 else parts[0]


def cross_table(work: Work, specs: Sequence[str], within: Expression | None = None) -> Table:
    """A cross table. Raises Invalid for a dimension that cannot be, Refused beyond a bound."""
    about = within or All()
    if not specs:
        raise Invalid("audiences.no_dimension")
    bounds.check("dimensions", len(specs))
    base = compiler.members(work, about)
    parts = tuple(dimensions.read(work, spec, base) for spec in specs)
    cells = 1
    for part in parts:
        cells *= len(part.categories)
    if cells > bounds.bounds().cells:
        shape = " × ".join(str(len(part.categories)) for part in parts)
        raise Refused("audiences.too_many_cells", most=bounds.bounds().cells, found=cells, shape=shape)
    known = compiler.evaluation(work, *(one.expression for part in parts for one in part.categories))
    sets = [[known.members(one.expression) & base for one in part.categories] for part in parts]
    sizes: list[int] = []
    _count(base, sets, sizes)
    margins = tuple(tuple(len(one) for one in category) for category in sets)
    return Table(about, parts, tuple(sizes), margins, len(base))


def _count(base: BitMap, sets: Sequence[Sequence[BitMap]], sizes: list[int]) -> None:
    """Append the sizes of all cells below `base`."""
    first, *rest = sets
    if not rest:
        sizes += [base.intersection_cardinality(one) for one in first]
        return
    below = 1
    for categories in rest:
        below *= len(categories)
    for one in first:
        inside = base & one
        if inside:
            _count(inside, rest, sizes)
        else:
            sizes += [0] * below
