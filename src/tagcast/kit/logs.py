"""Logs: one JSON object a line on stderr, fixed messages, allow-listed fields, no personal data."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

ALLOWED = frozenset(
    """
    event level ts component workspace account broadcast chunk lease kind key epoch attempt errcode reaction code
    duration_ms count total state reason path method status url_host port pid version seq function exc_type
    request""".split()
)


def _only_allowed(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop every field that is not on the list, so that no name, phone or openid reaches a log by accident."""
    return {name: value for name, value in event.items() if name in ALLOWED}


def _exception_type(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Keep the type of an exception, not its text: texts may hold what a person wrote."""
    error = event.pop("exc_info", None)
    if isinstance(error, BaseException):
        event["exc_type"] = type(error).__name__
    elif error is True and (current := sys.exc_info()[0]) is not None:
        event["exc_type"] = current.__name__
    return event


def configure(level: str = "WARNING") -> None:
    """Set up logging for the process."""
    structlog.configure(
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
            _exception_type,
            _only_allowed,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=lambda *_names: structlog.PrintLogger(sys.stderr),
        cache_logger_on_first_use=False,
    )


def get(name: str) -> structlog.typing.FilteringBoundLogger:
    """A logger; fields outside `ALLOWED` are dropped."""
    logger: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=name)
    return logger
