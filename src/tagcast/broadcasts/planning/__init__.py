"""The plan of a broadcast: who is addressed, who is left out and why, who is held out, who is sent to."""

from tagcast.broadcasts.planning.making import Draft, check_kind, keep, make, numbers

__all__ = ["Draft", "check_kind", "keep", "make", "numbers"]
