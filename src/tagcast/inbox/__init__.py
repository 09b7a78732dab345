"""What the platforms push (回调): verified, stored once, published as events. Owns: inbox_message."""

from tagcast.inbox.actions import KEEP, Fact, facts, last_received, purge, stored
from tagcast.inbox.callback import CallbackApp
from tagcast.inbox.events import (
    CustomerAdded,
    CustomerRemoved,
    Followed,
    InboxReceived,
    MassFinished,
    MessageReceived,
    OtherReceived,
    TemplateFinished,
    Unfollowed,
)

__all__ = [
    "CallbackApp",
    "CustomerAdded",
    "CustomerRemoved",
    "Fact",
    "Followed",
    "InboxReceived",
    "KEEP",
    "MassFinished",
    "MessageReceived",
    "OtherReceived",
    "TemplateFinished",
    "Unfollowed",
    "facts",
    "last_received",
    "purge",
    "stored",
]
