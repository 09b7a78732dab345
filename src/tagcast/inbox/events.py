"""Facts that the inbox publishes, one per callback. They name the stored callback; `inbox.facts` opens it."""

from dataclasses import dataclass
from typing import ClassVar

from tagcast.kit.events import Event


@dataclass(frozen=True)
class InboxReceived(Event):
    """A callback of an account was stored as `message`."""

    name: ClassVar[str] = "inbox.other"

    account: int
    message: int


class Followed(InboxReceived):
    """Somebody follows an official or service account."""

    name = "inbox.followed"


class Unfollowed(InboxReceived):
    """Somebody no longer follows."""

    name = "inbox.unfollowed"


class CustomerAdded(InboxReceived):
    """An employee and a customer became contacts."""

    name = "inbox.customer_added"


class CustomerRemoved(InboxReceived):
    """An employee or a customer deleted the other."""

    name = "inbox.customer_removed"


class MassFinished(InboxReceived):
    """A mass send has its result."""

    name = "inbox.mass_finished"


class TemplateFinished(InboxReceived):
    """A template message has its result."""

    name = "inbox.template_finished"


class MessageReceived(InboxReceived):
    """Somebody wrote."""

    name = "inbox.message_received"


class OtherReceived(InboxReceived):
    """Anything else."""


ALL: tuple[type[InboxReceived], ...] = (
    Followed,
    Unfollowed,
    CustomerAdded,
    CustomerRemoved,
    MassFinished,
    TemplateFinished,
    MessageReceived,
    OtherReceived,
)
_BY_NAME = {kind.name: kind for kind in ALL}


def event_of(kind: str, account: int, message: int) -> InboxReceived:
    """The event of a fact's kind."""
    return _BY_NAME.get(f"inbox.{kind}", OtherReceived)(account, message)
