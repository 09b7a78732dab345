"""Questions about the order of the numbers kept by `sliced`: who has the highest, who lies in any of many ranges.

Both walk the bit planes once, from the highest down, and split only what is undecided: the sets at one plane are
disjoint, so that a walk costs about as much as reading the planes, however many ranges there are.
"""

from collections.abc import Callable, Sequence

from pyroaring import BitMap

from tagcast.bitmaps.view import View

_WIDTH = 64

Range = tuple[int, int]


def planes(key: str) -> tuple[str, ...]:
    """The keys of all planes that the numbers under `key` can ever have."""
    return tuple(f"{key}#{plane}" for plane in ("known", "sign", *range(_WIDTH)))


def highest(view: View, key: str, count: int) -> BitMap:
    """The `count` members with the highest numbers; of equal numbers the lower member comes first."""
    known, negative = view.read(f"{key}#known"), view.read(f"{key}#sign")
    positive = known - negative
    if count >= len(known):
        return known.copy()
    bits = _bits(view, key)
    if count <= len(positive):
        return _extreme(view, key, bits, positive, count, largest=True)
    return positive | _extreme(view, key, bits, negative & known, count - len(positive), largest=False)


def inside(view: View, key: str, ranges: Sequence[Range], within: BitMap | None = None) -> BitMap:
    """The members whose number lies in any of the ranges, both ends included; only those of `within`, if given."""

    def read(plane: str) -> BitMap:
        name = f"{key}#{plane}"
        return view.read(name) if within is None else view.present(name, within)

    known, negative = read("known"), read("sign")
    bits = {bit: read(str(bit)) for bit in _bits(view, key)}
    # Of negative numbers the planes hold the size.
    below = [(max(1, -high), -low) for low, high in ranges if low < 0]
    above = [(max(0, low), high) for low, high in ranges if high >= 0]
    found = BitMap()
    _collect(bits, known - negative, above, 0, found.update)
    _collect(bits, known & negative, below, 0, found.update)
    return found


def _bits(view: View, key: str) -> list[int]:
    """The bit planes with members, from the highest down."""
    prefix = f"{key}#"
    names = (name[len(prefix) :] for name in view.keys(prefix))
    return sorted((int(name) for name in names if name.isdecimal()), reverse=True)


def _extreme(view: View, key: str, bits: Sequence[int], among: BitMap, count: int, *, largest: bool) -> BitMap:
    """The `count` of `among` with the largest or smallest sizes; of equal ones the lower members."""
    found, left = BitMap(), count
    for bit in bits:
        plane = view.read(f"{key}#{bit}")
        better = among & plane if largest else among - plane
        if len(better) >= left:
            among = better
        else:
            found |= better
            left -= len(better)
            among = among - better
    return found | among[:left] if left else found


def _collect(
    bits: dict[int, BitMap], among: BitMap, ranges: Sequence[Range], base: int, take: Callable[[BitMap], None]
) -> None:
    """Give to `take` those of `among`, whose sizes are `base` and what the planes `bits` add, that lie in a range."""
    top = base + sum(1 << bit for bit in bits)
    near = [one for one in ranges if one[0] <= top and one[1] >= base]
    if not among or not near:
        return
    if any(low <= base and high >= top for low, high in near):
        take(among)
        return
    (bit, plane), *rest = bits.items()
    _collect(dict(rest), among - plane, near, base, take)
    _collect(dict(rest), among & plane, near, base + (1 << bit), take)
