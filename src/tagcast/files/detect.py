"""Which encoding and which delimiter a text file has."""

import codecs
from pathlib import Path

from charset_normalizer import from_bytes

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_CANDIDATES = ["gb18030", "big5", "utf_16_le", "utf_16_be", "shift_jis", "cp1252"]
_BLOCK = 1 << 20
_SAMPLE = 1 << 16
DELIMITERS = ",;\t|"


def detect_encoding(path: Path) -> str:
    """The Python codec of a text file: by its byte order mark, as UTF-8 if all of it is, else by a guess from a sample.

    GBK and GB2312 are read as GB18030, which contains both.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as source:
        head = source.read(4)
        for mark, name in _BOMS:
            if head.startswith(mark):
                return name
        source.seek(0)
        while block := source.read(_BLOCK):
            if b"\0" in block:
                return _guess_utf16(block)
            try:
                decoder.decode(block, final=len(block) < _BLOCK)
            except UnicodeDecodeError as error:
                return _guess(block[max(0, error.start - 1024) : error.start + _SAMPLE])
    return "utf-8"


def _guess_utf16(block: bytes) -> str:
    """UTF-16 without a mark shows as zeros on one side of its ASCII; a few zeros elsewhere are damage."""
    even, odd = block[::2].count(0), block[1::2].count(0)
    if max(even, odd) < len(block) // 20:
        return "utf-8"
    return "utf-16-be" if even > odd else "utf-16-le"


def _guess(sample: bytes) -> str:
    whole = b"\n".join(line for line in sample.split(b"\n")[1:-1] if not line.isascii()) or sample
    try:
        whole.decode("gb18030")
    except UnicodeDecodeError:
        best = from_bytes(whole, cp_isolation=_CANDIDATES).best()
        return best.encoding.replace("_", "-") if best is not None else "gb18030"
    best = from_bytes(whole, cp_isolation=["gb18030", "big5"]).best()
    return "big5" if best is not None and best.encoding == "big5" and len(whole) > 64 else "gb18030"


def detect_delimiter(lines: list[str]) -> str:
    """The delimiter among `,` `;` tab `|` that cuts the header and most of the next lines into equally many fields."""

    def score(mark: str) -> tuple[int, int]:
        widths = [_outside_quotes(line, mark) for line in lines if line.strip()]
        if not widths or widths[0] == 0:
            return (0, 0)
        return (sum(width == widths[0] for width in widths), widths[0])

    best = max(DELIMITERS, key=score)
    return best if score(best) > (0, 0) else ","


def _outside_quotes(line: str, mark: str) -> int:
    return sum(part.count(mark) for part in line.split('"')[::2])
