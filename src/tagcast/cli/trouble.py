"""What becomes of an exception: the sentence and the remedy of it, if it is one that a user can cause or meet."""

import errno
import re

from tagcast.kit.errors import Invalid, TagcastError, Unavailable

# The parser's own words, English only, and what they are here.
_USAGE = (
    (re.compile(r"No such option:? '?(?P<name>[^'\s]+?)'?\.?(?: |$)"), "cli.no_option"),
    (re.compile(r"No such command '(?P<name>.*?)'"), "cli.no_command"),
    (re.compile(r"Missing (?:argument|option|parameter):? '?(?P<name>[^']+?)'?\.?(?: |$)"), "cli.missing_argument"),
    (re.compile(r"Option '(?P<name>[^']+)' requires an argument"), "cli.no_value"),
)
_BAD_VALUE = re.compile(r"Invalid value for '?(?P<name>[^']+?)'?: (?:Value error, )?(?P<reason>.*)", re.DOTALL)
# Why a value cannot be used, in the words of the library that reads it; what is none of these is shown as it is.
_REASONS = (
    (re.compile(r"'.*' is not one of (?P<allowed>.*?)\.?$", re.DOTALL), "cli.bad_choice"),
    (re.compile(r"Input should be a valid integer"), "cli.bad_integer"),
    (re.compile(r"Input should be a valid number"), "cli.bad_number"),
    (re.compile(r"'.*' does not match the format|Input should be a valid date", re.DOTALL), "cli.bad_date"),
    (re.compile(r"Input should be greater than or equal to (?P<least>\S+)"), "cli.too_small"),
    (re.compile(r"Input should be less than or equal to (?P<most>\S+)"), "cli.too_large"),
)


def usage(message: str, command: str) -> TagcastError:
    """A line that could not be understood; `command` is how far it was understood."""
    for pattern, code in _USAGE:
        if found := pattern.match(message):
            return Invalid(code, command=command, **found.groupdict())
    if found := _BAD_VALUE.match(message):
        name, reason = found["name"], found["reason"]
        for pattern, code in _REASONS:
            if why := pattern.match(reason):
                return Invalid(code, command=command, name=name, **why.groupdict())
        return Invalid("cli.bad_argument", command=command, name=name, reason=reason)
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
