"""What a broadcast says: kinds of message, their fields and limits."""

from tagcast.broadcasts.content.kinds import (
    COVERED,
    KINDS,
    NEEDED,
    Content,
    is_tracked,
    messages,
    parse,
    problems,
    with_cover,
    with_draft,
)

__all__ = [
    "COVERED",
    "KINDS",
    "NEEDED",
    "Content",
    "is_tracked",
    "messages",
    "parse",
    "problems",
    "with_cover",
    "with_draft",
]
