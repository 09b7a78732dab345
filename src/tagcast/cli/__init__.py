"""The command line: each command translates, calls one function, prints.

Data goes to stdout, everything said to a person goes to stderr. Exit codes: 0 done, 1 failed, 2 refused or wrong usage,
3 partly sent, 4 blocked by compliance.
"""

from tagcast.cli.main import main

__all__ = ["main"]
