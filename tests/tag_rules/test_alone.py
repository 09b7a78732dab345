"""One keeper a workspace at a time: who comes while another takes a turn does nothing, and later goes on."""

import threading

from tagcast import audiences, tags
from tagcast.audiences import Expression, live
from tagcast.audiences.live import Kept
from tagcast.kit.uow import Runtime, Work
from tests.tag_rules.keeping import EAGER, eager, give, held, rule, settle
from tests.tags.people import crowd


class Slow(live.Segments):
    """Stays in its turn until it is told to go on."""

    def __init__(self) -> None:
        self.inside, self.go_on = threading.Event(), threading.Event()

    def expression(self, work: Work, kept: Kept) -> Expression:
        self.inside.set()
        self.go_on.wait(30)
        return super().expression(work, kept)


def test_who_comes_while_another_takes_a_turn_does_nothing(runtime: Runtime) -> None:
    with runtime.work(1, "test") as work:
        crowd(work, 9)
        tags.create(work, "a")
        give(work, "a", 1, 2)
        made = audiences.create(work, "s", audiences.parse('tag("a")'))
        audiences.keep(work, made.id, "live")
        rule(work, "b", 'tag("a")')
    slow = Slow()
    other = threading.Thread(target=live.turn, args=(runtime, 1, live.Memory(EAGER), (slow,)))
    other.start()
    try:
        assert slow.inside.wait(30)
        assert not eager().turn(runtime, [1])
        with runtime.read(1, "test") as work:
            assert held(work, "b") == set()
    finally:
        slow.go_on.set()
        other.join()
    settle(eager(), runtime)
    with runtime.read(1, "test") as work:
        assert held(work, "b") == {1, 2}
