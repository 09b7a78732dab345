"""A process that is killed: brings the log of a home into the lake, and stands still between a commit and a removal."""

import sys
import time
from pathlib import Path

from tagcast.behaviour import moving
from tagcast.kit.settings import Settings
from tagcast.kit.uow import open_runtime
from tagcast.lake.table import LakeTable


def _stand(_table: LakeTable, _keep_seconds: float) -> int:
    print("committed", flush=True)
    time.sleep(600)
    return 0


if __name__ == "__main__":
    LakeTable.vacuum = _stand  # type: ignore[method-assign]  # the place to be killed at
    moving.bring(open_runtime(Settings(home=Path(sys.argv[1]))), 1)
