"""Dense records per number, kept in memory-mapped files and brought up to date from a log. No product words.

What they hold can always be made again; a file is a checkpoint of it, never the truth. A record of zeros stands for
nothing, so records that were never written cost no memory.
"""

from tagcast.columns.files import Damaged, Mark
from tagcast.columns.records import Columns, Records

__all__ = ["Columns", "Damaged", "Mark", "Records"]
