"""The outcomes that can be told apart, and the sets they are made of. Pure.

Under the reference of a sending, e.g. `broadcast:12`, whoever sends keeps these sets: `addressed` (all in the
audience), `holdout`, `assigned` (planned to be sent to), `accepted` (taken by the platform; nobody leaves it),
`delivered`, `failed`, `held` (refused at the last moment), `cancelled`, and tracking `opened` and `clicked`.
"""

from typing import Literal

from tagcast.bitmaps.algebra import AllOf, AnyOf, Except, Key, Node

Outcome = Literal["received", "delivered", "opened", "clicked", "failed", "held_back", "held_out"]
OUTCOMES: tuple[Outcome, ...] = ("received", "delivered", "opened", "clicked", "failed", "held_back", "held_out")


def node_of(ref: str, outcome: Outcome) -> Node:
    """The recipients of a sending who have an outcome.

    received: taken by the platform and not known to have failed; held_back: addressed, yet surely not sent to.
    """

    def key(name: str) -> Node:
        return Key(f"{ref}:{name}")

    match outcome:
        case "received":
            return AllOf((AnyOf((key("accepted"), key("delivered"))), Except(key("failed"))))
        case "held_back":
            left_out = AllOf((key("addressed"), Except(key("assigned")), Except(key("holdout"))))
            return AnyOf((left_out, key("held"), key("cancelled")))
        case "held_out":
            return key("holdout")
        case _:
            return key(outcome)
