"""A process that is killed: brings the log of a home into the lake in small steps, telling each."""

import itertools
import sys
from pathlib import Path

from tagcast.behaviour import moving
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime

if __name__ == "__main__":
    moving.TOGETHER = 20
    runtime = open_runtime(Settings(home=Path(sys.argv[1])))
    steps = itertools.count(1)

    def told() -> bool:
        print(next(steps), flush=True)
        return True

    moving.bring(runtime, 1, told)
    moving.tidy(runtime, 1, told, everything=True)
    while True:
        told()
