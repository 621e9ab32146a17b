"""The command line with transforms that take their time: `python -m tests.faults.slow SECONDS STUCK run job.yaml`.

Each chunk takes SECONDS seconds; with STUCK (1), it takes them in one call that no check of ours can interrupt.
"""

import sys
import time
from threading import Event

from bridgeflow import cli
from bridgeflow.engines.background import CancelToken
from bridgeflow.pipeline.chunked import ChunkedRun


def main() -> None:
    seconds, stuck = float(sys.argv[1]), sys.argv[2] == "1"
    sys.argv = ["bridgeflow", *sys.argv[3:]]
    push, pause = ChunkedRun.push, Event()
    tokens = []
    begun = CancelToken.__init__

    def remembered(self):
        begun(self)
        tokens.append(self)

    def slow(self, columns, *, last=False):
        result = push(self, columns, last=last)
        if stuck:
            time.sleep(seconds)
        else:
            end = time.monotonic() + seconds
            while time.monotonic() < end:
                pause.wait(0.01)
                for token in tokens:
                    token.check()
        return result

    CancelToken.__init__ = remembered
    ChunkedRun.push = slow
    cli.main()


if __name__ == "__main__":
    main()
