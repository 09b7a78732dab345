"""What a broadcast says: kinds of message, texts with placeholders, files, and what each recipient is told."""

from tagcast.broadcasts.content.examining import Case, check, examine, render, texts_needed, worst_cases
from tagcast.broadcasts.content.grouping import by_text, numbered
from tagcast.broadcasts.content.kinds import (
    COVERED,
    KINDS,
    NEEDED,
    Content,
    check_fields,
    is_tracked,
    messages,
    page_of,
    parse,
    problems,
    texts_of,
    with_cover,
    with_draft,
    with_texts,
)
from tagcast.broadcasts.content.media import Media
from tagcast.broadcasts.content.placing import Placed, cover, place
from tagcast.broadcasts.content.scripts import check_employees, content_of, contents_of, filled, freeze, script, shown
from tagcast.broadcasts.content.telling import Told, make_links, shared_links, tell, tell_each

__all__ = [
    "COVERED",
    "KINDS",
    "NEEDED",
    "Case",
    "Content",
    "Media",
    "Placed",
    "Told",
    "by_text",
    "check",
    "check_employees",
    "check_fields",
    "content_of",
    "contents_of",
    "cover",
    "examine",
    "filled",
    "freeze",
    "is_tracked",
    "make_links",
    "messages",
    "numbered",
    "page_of",
    "parse",
    "place",
    "problems",
    "render",
    "script",
    "shared_links",
    "shown",
    "tell",
    "tell_each",
    "texts_needed",
    "texts_of",
    "with_cover",
    "with_draft",
    "with_texts",
    "worst_cases",
]
