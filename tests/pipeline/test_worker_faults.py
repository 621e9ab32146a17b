"""Workers, parents and whole trees of processes killed at random: nothing lost, nothing doubled, nothing left.

Each test has a short form for every day and a long one, marked slow; all print their counts (`pytest -s`).
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pytest
import torch

from bridgeflow import memory
from bridgeflow.bridge import share
from bridgeflow.errors import WorkerDied
from bridgeflow.memory import handles
from bridgeflow.pipeline.workers import WorkerPool
from tests.memory.census import Census, alive, census, eventually, memfds
from tests.memory.company import threads_that_compute
from tests.workplace import ROOT

WORDS = 20_000


def numbered(n: int) -> dict[str, Any]:
    """A batch that shows whether it is whole, and whose it is."""
    x = memory.empty(WORDS, "int64")
    for start in range(0, WORDS, 1000):  # in steps, so that a kill can fall between them
        x[start : start + 1000] = n
    return {"x": x, "t": torch.full((WORDS,), n), "n": n}


def whole(batch: dict[str, Any], n: int) -> bool:
    return bool(batch["n"] == n and (batch["x"] == n).all() and (batch["t"] == n).all())


def long_form(short: int, long: int, name: str = "rounds") -> Any:
    """Rounds in `make test`, and in `make test-all`."""
    return pytest.mark.parametrize(name, [short, pytest.param(long, marks=pytest.mark.slow)])


# --- row 14: workers ---


@pytest.mark.parametrize(
    ("context", "kills"),
    [
        ("fork", 10),
        pytest.param("fork", 100, marks=pytest.mark.slow),
        pytest.param("forkserver", 15, marks=pytest.mark.slow),
        pytest.param("spawn", 10, marks=pytest.mark.slow),
    ],
)
def test_workers_killed_at_random_points(context: Any, kills: int):
    rng = random.Random(kills)
    done: list[int] = []
    stop = threading.Event()

    with WorkerPool(
        numbered, num_workers=2, slot_nbytes=400_000, multiprocessing_context=context, attempts=1000
    ) as pool:

        def killer() -> None:
            while len(done) < kills and not stop.is_set():
                time.sleep(rng.uniform(0, 0.02))
                try:
                    pid = rng.choice(pool.pids)
                    os.kill(pid, rng.choice([signal.SIGKILL, signal.SIGTERM]))
                except (ProcessLookupError, IndexError):
                    continue
                done.append(pid)
                eventually(lambda pid=pid: not alive(pid), within=5)

        def tasks() -> Iterator[int]:
            n = 0
            while len(done) < kills or n < 50:
                yield n
                n += 1

        thread = threading.Thread(target=killer)
        thread.start()
        longest, count, before = 0.0, 0, time.monotonic()
        try:
            for count, batch in enumerate(pool.run(tasks()), 1):
                assert whole(batch, count - 1)
                now = time.monotonic()
                longest, before = max(longest, now - before), now
        finally:
            stop.set()
            thread.join()
        del batch
        assert pool._ring.free == pool.slots
    print(f"{context}: {len(done)} kills, {count} batches, none lost or doubled, longest wait {longest:.2f} s")
    assert len(done) >= kills


def deadly(n: int) -> int:
    if n == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if n == 4:
        os._exit(9)
    return n


@pytest.mark.parametrize(
    ("poison", "exitcode", "words"), [(3, -9, "was killed by SIGKILL"), (4, 9, "ended with exit status 9")]
)
def test_a_task_that_kills_every_worker_is_named(poison: int, exitcode: int, words: str):
    with WorkerPool(deadly, num_workers=2, slot_nbytes=4096, attempts=3) as pool:
        run = pool.run([0, 1, poison, 5, 6])
        assert [next(run), next(run)] == [0, 1]
        began = time.monotonic()
        with pytest.raises(
            WorkerDied, match=f"the batch of {poison} has cost 3 workers, the last of which {words}"
        ) as died:
            next(run)
        print(f"typed error after {time.monotonic() - began:.2f} s")
        assert (died.value.exitcode, died.value.task, died.value.attempts) == (exitcode, poison, 3)
        assert list(pool.run([7, 8])) == [7, 8]


def test_tasks_beside_a_deadly_one_are_not_blamed():
    """They may lose their worker as often as it does."""
    with WorkerPool(deadly, num_workers=1, slot_nbytes=4096, prefetch_factor=4, attempts=2) as pool:
        run = pool.run([0, 3, 5, 6])
        assert next(run) == 0
        with pytest.raises(WorkerDied):
            next(run)
        assert list(pool.run([5, 6])) == [5, 6]


# --- row 16: trees, and long lives ---


def session_of(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[3])
    except (OSError, IndexError):
        return None


def living(session: int) -> list[int]:
    """The processes of a session that are there and no zombies."""
    pids = map(int, filter(str.isdigit, os.listdir("/proc")))
    return [pid for pid in pids if session_of(pid) == session and alive(pid)]


@contextmanager
def tree(grow: Callable[[], None]) -> Iterator[int]:
    """A process that leads a session of its own, and so can be found with all that comes of it."""
    root = os.fork()
    if root == 0:
        try:
            os.setsid()
            grow()
        finally:
            os._exit(1)
    try:
        yield root
    finally:
        for pid in living(root):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(root, 0)


def busy_tree() -> None:
    """Workers at work, batches held, handles on their way."""
    unopened = [pickle.dumps(share(np.ones(10_000), across="process")) for _ in range(3)]
    with WorkerPool(numbered, num_workers=2, slot_nbytes=400_000) as pool:
        held = []
        for batch in pool.run(iter(int, 1)):
            held = [*held[-2:], batch]
    assert unopened


@long_form(8, 200)
def test_whole_trees_killed(rounds: int):
    rng = random.Random(rounds)
    before = census()
    seen, left = 0, 0
    for number in range(rounds):
        with tree(busy_tree) as root:
            assert eventually(lambda root=root: len(living(root)) == 3)
            time.sleep(rng.uniform(0, 0.05))
            pids = living(root)
            seen += sum(len(memfds(pid)) for pid in pids)
            if number % 3 == 0:
                os.killpg(root, signal.SIGKILL)  # all at once
            else:  # the root alone; or a worker just before it, while it is being replaced
                if number % 3 == 1:
                    os.kill(rng.choice([pid for pid in pids if pid != root] or [root]), signal.SIGKILL)
                os.kill(root, signal.SIGKILL)
            eventually(lambda root=root: not living(root))
            left += len(living(root))
    print(f"{rounds} trees killed, {seen} descriptors of shared memory seen in them, {left} processes left")
    assert seen
    assert left == 0
    assert census() == before


@long_form(3, 40)
def test_nothing_grows(rounds: int):
    """Runs finished and given up, workers killed, buffers shared, sent and never opened: the same counts at the end."""
    counts: list[Census] = []
    rng = random.Random(0)
    with WorkerPool(numbered, num_workers=2, slot_nbytes=400_000, attempts=100) as pool:
        for _ in range(rounds):
            for n, batch in enumerate(pool.run(range(20))):
                assert whole(batch, n)
                if n == 10:
                    os.kill(rng.choice(pool.pids), signal.SIGKILL)
            run = pool.run(range(20))
            next(run)
            run.close()
            list(pool.run([1]))
            for _ in range(20):
                sent = pickle.dumps(share(batch["x"], across="process"))
                assert pickle.loads(sent).numpy[0] == 19
                pickle.dumps(share(batch["x"], across="process"))
            handles._server.expire(0)
            del batch, run
            counts.append(census())
    print(f"{rounds} rounds: {counts[0]} at first, {counts[-1]} at the end")
    assert counts[-1] == counts[0]


@pytest.mark.parametrize("how", ["interrupt", "terminate"])
def test_ctrl_c_ends_the_parent_and_its_workers_at_once(how: str, tmp_path: Path):
    script = tmp_path / "run.py"
    script.write_text(
        "import time\n"
        "from bridgeflow.pipeline.workers import WorkerPool\n"
        "def slow(n):\n"
        "    time.sleep(0 if n < 2 else 600)\n"
        "    return n\n"
        "with WorkerPool(slow, num_workers=2, slot_nbytes=4096) as pool:\n"
        "    for n in pool.run(range(100)):\n"
        "        print(n, flush=True)\n"
    )
    paths = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH", ""))))
    run = subprocess.Popen(
        [sys.executable, str(script)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert run.stdout is not None
    assert [run.stdout.readline().strip() for _ in range(2)] == ["0", "1"]
    began = time.monotonic()
    os.killpg(run.pid, signal.SIGINT) if how == "interrupt" else os.kill(run.pid, signal.SIGTERM)
    _, errors = run.communicate(timeout=60)
    assert eventually(lambda: not living(run.pid))
    print(f"{how}: all ended after {time.monotonic() - began:.2f} s")
    assert run.returncode == (-signal.SIGINT if how == "interrupt" else -signal.SIGTERM)
    assert errors.count("Traceback") == (how == "interrupt")  # the parent's; the workers have nothing to say


# --- row 15: /dev/shm ---

WITHOUT_SHM = """
import os, sys
import numpy as np
from bridgeflow.bridge import share
from bridgeflow.memory import empty
from bridgeflow.pipeline.workers import WorkerPool

def fetch(n):
    x = empty(1 << 21)
    x[:] = n
    return x

with WorkerPool(fetch, num_workers=2, slot_nbytes=1 << 24) as pool:
    total = sum(float(x[-1]) for x in pool.run(range(10)))
    views = share(np.ones(1 << 23), across="process")
    for pid in (os.getpid(), *pool.pids):
        opened = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd") if fd.isdigit() and
                  os.path.islink(f"/proc/{pid}/fd/{fd}")]
        assert not any("/dev/shm" in name for name in opened), opened
        assert "/dev/shm" not in open(f"/proc/{pid}/maps").read()
print("total", total, "size of /dev/shm", os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize)
"""


@pytest.mark.parametrize("small", [False, True], ids=["as-it-is", "1-MiB"])
def test_dev_shm_plays_no_part(small: bool):
    """Batches of 16 MiB and a buffer of 64 MiB, where /dev/shm has 1 MiB; and nothing of ours is opened there."""
    command = [sys.executable, "-c", WITHOUT_SHM]
    if small:
        mount = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o size=1m tmpfs /dev/shm && exec "$@"', "sh"]
        allowed = shutil.which("unshare") and subprocess.run([*mount, "true"], capture_output=True).returncode == 0
        if not allowed:
            pytest.skip("no mount namespace can be made here")
        command = [*mount, *command]
    paths = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH", ""))))
    run = subprocess.run(command, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    print(run.stdout.strip())
    assert run.stdout.startswith("total 45.0")
    assert small == run.stdout.strip().endswith(str(1 << 20))


# --- row 17: threads of others ---


def computed(n: int) -> Any:
    """Work for the thread pools of torch and Arrow, in the worker."""
    x = torch.full((200, 200), float(n))
    ordered = pa.compute.sort_indices(pa.array(np.arange(50_000)[::-1]))
    return {"x": x @ x, "first": ordered[0].as_py(), "n": n}


@pytest.mark.parametrize(
    ("context", "rounds"),
    [
        ("fork", 3),
        pytest.param("fork", 50, marks=pytest.mark.slow),
        pytest.param("spawn", 3, marks=pytest.mark.slow),
        pytest.param("forkserver", 3, marks=pytest.mark.slow),
    ],
)
def test_processes_begin_while_threads_compute(context: Any, rounds: int):
    with threads_that_compute():
        for _ in range(rounds):
            with WorkerPool(computed, num_workers=2, slot_nbytes=1 << 18, multiprocessing_context=context) as pool:
                for n, batch in enumerate(pool.run(range(6))):
                    assert batch["n"] == n
                    assert batch["first"] == 49_999
                    assert torch.equal(batch["x"], torch.full((200, 200), 200.0 * n * n))
                assert n == 5
    print(f"{context}: {rounds} pools of 2 workers begun while 2 threads computed, none hung")
