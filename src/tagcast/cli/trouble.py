"""What becomes of an exception: the sentence and the remedy of it, if it is one that a user can cause or meet."""

import errno
import re

from tagcast.kit.errors import Invalid, TagcastError, Unavailable

# The parser's own words, English only, and what they are here.
_USAGE = (
    (re.compile(r"No such option:? '?(?P<name>[^'\s]+?)'?\.?(?: |$)"), "cli.no_option"),
    (re.compile(r"No such command '(?P<name>.*?)'"), "cli.no_command"),
    (re.compile(r"Missing (?:argument|option|parameter):? '?(?P<name>[^']+?)'?\.?(?: |$)"), "cli.missing_argument"),
    (re.compile(r"Invalid value for '?(?P<name>[^']+?)'?: (?P<reason>.*)", re.DOTALL), "cli.bad_argument"),
)


def usage(message: str, command: str) -> TagcastError:
    """A line that could not be understood; `command` is how far it was understood."""
    for pattern, code in _USAGE:
        if found := pattern.match(message):
            return Invalid(code, command=command, **found.groupdict())
    return Invalid("cli.usage", command=command, reason=message)


def known(error: Exception) -> TagcastError | None:
    """The error of a library as one of ours; None for what nobody expected."""
    if isinstance(error, TagcastError):
        return error
    from sqlalchemy.exc import ArgumentError, DatabaseError, InterfaceError, NoSuchModuleError, OperationalError

    from tagcast.kit.crypto import Broken

    found: TagcastError | None = None
    if isinstance(error, Broken):
        found = Invalid("cli.other_key")
    elif isinstance(error, ArgumentError | NoSuchModuleError):
        found = Invalid("cli.bad_database_url")
    elif isinstance(error, OperationalError | InterfaceError):
        found = Unavailable("kit.database_unreachable", reason=type(error.orig).__name__)
    elif isinstance(error, DatabaseError) and "not a database" in str(error.orig):
        found = Invalid("cli.damaged_database")
    elif isinstance(error, OSError) and error.errno == errno.ENOSPC:
        found = Unavailable("cli.disk_full")
    elif isinstance(error, PermissionError | FileNotFoundError | IsADirectoryError | NotADirectoryError):
        found = Invalid("cli.file", file=error.filename or "-", reason=error.strerror or "")
    return found
