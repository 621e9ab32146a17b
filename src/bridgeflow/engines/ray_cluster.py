"""A Ray cluster to run on, and calls of functions in it: a call whose worker dies is made again."""

from __future__ import annotations

import os
import pickle
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import wraps
from logging import CRITICAL, getLogger
from queue import Empty, SimpleQueue
from signal import SIGTERM, getsignal, signal
from threading import Event, Thread, current_thread, main_thread
from time import monotonic
from typing import Any, Final, NamedTuple, TypeVar

from bridgeflow._optional import require
from bridgeflow.engines.background import WorkLeftRunning
from bridgeflow.errors import ConfigError, MissingDependency, WorkerDied, WorkerFailed

__all__ = [
    "MOST_DEATHS",
    "Failure",
    "call_all",
    "connected",
    "died_again_and_again",
    "failures_returned",
    "quiet",
    "revived",
]

_TICK: Final = 0.2
MOST_DEATHS: Final = 12
"""How often in a row the workers of one call may die without its having got any further."""

_GRACE: Final = 3.0
"""Seconds that other calls have to end after one has failed."""

_CLOSING: Final = 10.0
"""Seconds that Ray's processes have to end."""

_ENVIRONMENT: Final = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # Ray 2.60 warns of the old default
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Of clusters that are started here."""

_Function = TypeVar("_Function", bound=Callable[..., Any])


@contextmanager
def connected(address: str | None, *, cores: int) -> Iterator[None]:
    """Be connected to a cluster while the block runs.

    Args:
        address: of a cluster, as `ray.init` takes it; `None` for the one that this process is connected to already, or
            else one of this machine, which ends with the block.
        cores: of the cluster that is started.

    Raises:
        ConfigError: no cluster answers there, or this process is connected to another.
        MissingDependency: Ray is not installed.
    """
    ray = require("ray", needed_for="the engine ray")
    if ray.is_initialized():
        here = ray.get_runtime_context().gcs_address
        if address not in (None, "auto", here):
            raise ConfigError(f"address: this process is connected to the Ray cluster {here}, not to {address!r}")
        with quiet():
            yield
        return
    options: dict[str, Any] = {"address": address}
    if address is None:
        options = {"address": "local", "num_cpus": cores, "include_dashboard": False}
        for name, value in _ENVIRONMENT.items():
            os.environ.setdefault(name, value)

    with quiet():
        connection = _Connection(options)
        try:
            connection.open()
            yield
        finally:
            connection.close()


class _Connection:
    """A connection to a cluster, which a thread of its own opens and closes: there Ray leaves the handlers of signals
    alone, and the kernel ends processes that Ray has started when the thread that started them ends.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._opened: SimpleQueue[BaseException | None] = SimpleQueue()
        self._closed: SimpleQueue[None] = SimpleQueue()
        self._end = Event()
        self._is_open = False
        self._thread = Thread(target=self._keep, daemon=True, name="bridgeflow-ray")

    def open(self) -> None:
        """Connect.

        Raises:
            ConfigError: no cluster answers.
        """
        self._thread.start()
        try:
            error = _next(self._opened)
        except BaseException as interrupt:
            raise interrupt from WorkLeftRunning("Ray was starting")
        address = self._options["address"]
        if address != "local" and isinstance(error, (ConnectionError, RuntimeError, ValueError, TimeoutError)):
            problem = f"address: no Ray cluster answers at {address!r} ({' '.join(str(error).split())})"
            raise ConfigError(f"{problem}; start one with ray start --head, or leave the address out") from error
        if error is not None:
            raise error
        self._is_open = True
        if current_thread() is main_thread() and (handler := getsignal(SIGTERM)) is not None:
            signal(SIGTERM, handler)  # Ray's core, in C++, has taken it

    def close(self) -> None:
        """Disconnect, and end the processes that were started."""
        self._end.set()
        if self._is_open:
            with suppress(Empty):
                self._closed.get(timeout=_CLOSING)

    def _keep(self) -> None:
        ray = require("ray", needed_for="the engine ray")
        try:
            try:
                ray.init(**self._options, log_to_driver=False, logging_level="critical")
            except BaseException as error:
                self._opened.put(error)
                return
            self._opened.put(None)
            self._end.wait()
        finally:
            ray.shutdown()
            self._closed.put(None)


def _next(queue: SimpleQueue[Any]) -> Any:
    """What a thread puts next; the wait can be interrupted."""
    while True:
        with suppress(Empty):
            return queue.get(timeout=0.05)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Ray's own loggers, as far as they have been made: what concerns the caller is raised."""
    loggers = [getLogger(name) for name in ("ray", "ray.data")]
    levels = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(CRITICAL + 1)
    try:
        yield
    finally:
        for one, level in zip(loggers, levels, strict=True):
            one.setLevel(level)


# --- calls ---


class Failure(NamedTuple):
    """What a remote call returns in the place of raising: Ray would wrap it, and retry what will fail again."""

    error: bytes
    text: str


def failures_returned(function: _Function) -> _Function:
    """A function that returns exceptions as `Failure`s; interrupts are left alone."""

    @wraps(function)
    def call(*args: Any) -> Any:
        try:
            return function(*args)
        except Exception as error:
            return _failure(error)

    return call  # type: ignore[return-value]


def _failure(error: Exception) -> Failure:
    text = "".join(traceback.format_exception(error))
    try:
        packed = pickle.dumps(error)
        pickle.loads(packed)
    except Exception:
        packed = pickle.dumps(WorkerFailed(f"{type(error).__name__}: {error}"))
    return Failure(packed, text)


def revived(failure: Failure) -> Exception:
    """The exception, with its traceback as a note."""
    error: Exception = pickle.loads(failure.error)
    notes = [*getattr(error, "__notes__", ()), f"in a worker of Ray:\n{failure.text.rstrip()}"]
    error.__notes__ = notes  # type: ignore[attr-defined, unused-ignore]
    return error


def call_all(
    function: Callable[..., Any],
    calls: Mapping[int, tuple[Any, ...]],
    accept: Callable[[int, Any], None],
    *,
    most: int,
    check: Callable[[], None],
    advanced: Callable[[int], int] = lambda number: 0,
    name: Callable[[int], str] = str,
) -> None:
    """Call a function once for each entry of `calls`, on as many workers as the cluster has.

    Args:
        function: importable, and decorated with `failures_returned`.
        calls: its arguments, by number.
        accept: called with the number and the result of each call, in the order in which they end.
        most: calls that may be under way at a time.
        check: called now and then; raises where the work is to end.
        advanced: how far a call has got, by its number: a worker's death counts only where that has not changed.
        name: what messages call it.

    Raises:
        Exception: of the calls that failed, that of the lowest number.
        WorkerDied: the workers of a call died again and again.
    """
    ray = require("ray", needed_for="the engine ray")
    remote = ray.remote(num_cpus=1, max_retries=0)(function)
    waiting = deque(calls)
    running: dict[Any, int] = {}
    deaths: dict[int, tuple[int, int]] = {}
    errors: dict[int, Exception] = {}
    deadline = None
    try:
        while running or (waiting and not errors):
            while waiting and not errors and len(running) < most:
                number = waiting.popleft()
                running[remote.remote(*calls[number])] = number
            for one in _ended(ray, running):
                number = running.pop(one)
                try:
                    result = ray.get(one)
                except ray.exceptions.TaskCancelledError:
                    continue
                except ray.exceptions.RayTaskError as error:  # it could not even be called
                    errors[number] = _uncallable(error)
                    continue
                except ray.exceptions.RayError:
                    counted, at = deaths.get(number, (0, 0))
                    now = advanced(number)
                    deaths[number] = (counted + 1 if now == at else 1, now)
                    if deaths[number][0] > MOST_DEATHS:
                        errors[number] = died_again_and_again(name(number))
                    else:
                        waiting.appendleft(number)
                    continue
                if isinstance(result, Failure):
                    errors[number] = revived(result)
                else:
                    accept(number, result)
            if errors and deadline is None:
                deadline = monotonic() + _GRACE
                for one in running:
                    ray.cancel(one)
            if deadline is not None and monotonic() > deadline:
                break
            check()
    finally:
        for one in running:
            with suppress(Exception):
                ray.cancel(one, force=True)
    if errors:
        raise errors[min(errors)]


def _ended(ray: Any, running: Mapping[Any, int]) -> list[Any]:
    """The calls that have ended, after a moment at the latest."""
    ended, _ = ray.wait(list(running), timeout=_TICK)
    if ended:
        ended, _ = ray.wait(list(running), num_returns=len(running), timeout=0)
    return list(ended)


def _uncallable(error: Any) -> Exception:
    """The error about a worker that cannot import what the driver can."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, ModuleNotFoundError):
        name = cause.name or "a package"
        what = f"a machine of the Ray cluster lacks {name}; install the same packages on each of them"
        return MissingDependency(what, name=cause.name)
    return WorkerFailed(f"a worker of the Ray cluster cannot start its work: {cause or error}")


def died_again_and_again(where: str) -> WorkerDied:
    """The error about work that ends every worker that begins it."""
    return WorkerDied(
        f"the engine ray: workers died {MOST_DEATHS + 1} times in a row at {where}; where memory runs out, give each "
        "task more of it (fewer CPUs in the cluster), or set `shard_rows` lower"
    )
