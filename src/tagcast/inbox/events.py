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


class Scanned(InboxReceived):
    """A follower scanned a QR code of the account."""

    name = "inbox.scanned"


class MenuUsed(InboxReceived):
    """A follower used the account's menu."""

    name = "inbox.menu_used"


class Located(InboxReceived):
    """A follower shared a place; which is not kept."""

    name = "inbox.located"


class PublishFinished(InboxReceived):
    """A publication has its result."""

    name = "inbox.publish_finished"


class SubscriptionAnswered(InboxReceived):
    """Somebody answered a request to be sent notices."""

    name = "inbox.subscription_answered"


class SubscriptionChanged(InboxReceived):
    """Somebody changed in the settings which notices may be sent."""

    name = "inbox.subscription_changed"


class SubscriptionSent(InboxReceived):
    """A notice has its result."""

    name = "inbox.subscription_sent"


class ProfileChanged(InboxReceived):
    """Somebody changed their profile."""

    name = "inbox.profile_changed"


class AuthorizationRevoked(InboxReceived):
    """Somebody withdrew the authorization to use their data."""

    name = "inbox.authorization_revoked"


class CustomerEdited(InboxReceived):
    """An employee edited the remark, phone or tags of a customer."""

    name = "inbox.customer_edited"


class TransferFailed(InboxReceived):
    """A customer's hand-over failed."""

    name = "inbox.transfer_failed"


class ArchiveAgreed(InboxReceived):
    """A customer agreed to the chat archive."""

    name = "inbox.archive_agreed"


class ArchiveReady(InboxReceived):
    """The chat archive has new records."""

    name = "inbox.archive_ready"


class GroupCreated(InboxReceived):
    """A group chat was made."""

    name = "inbox.group_created"


class GroupChanged(InboxReceived):
    """A group chat has other members, owner, name or notice."""

    name = "inbox.group_changed"


class GroupDismissed(InboxReceived):
    """A group chat was dismissed."""

    name = "inbox.group_dismissed"


class TagChanged(InboxReceived):
    """A corp tag or a group of them was changed on the platform."""

    name = "inbox.tag_changed"


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
    Scanned,
    MenuUsed,
    Located,
    PublishFinished,
    SubscriptionAnswered,
    SubscriptionChanged,
    SubscriptionSent,
    ProfileChanged,
    AuthorizationRevoked,
    CustomerEdited,
    TransferFailed,
    ArchiveAgreed,
    ArchiveReady,
    GroupCreated,
    GroupChanged,
    GroupDismissed,
    TagChanged,
    MessageReceived,
    OtherReceived,
)
_BY_NAME = {kind.name: kind for kind in ALL}


def event_of(kind: str, account: int, message: int) -> InboxReceived:
    """The event of a fact's kind."""
    return _BY_NAME.get(f"inbox.{kind}", OtherReceived)(account, message)
