"""Races: one of ours against its peers, in one run, on one machine, with equal threads.

Bench files register functions that build a `Race`; `python -m benchmarks` finds, runs and reports them (README.md).
"""

from __future__ import annotations

import gc
import importlib
import itertools
import statistics
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

__all__ = ["Benchmark", "MissingPeer", "Outcome", "Race", "Target", "benchmark", "discover", "faster", "need", "within"]

Contestant = Callable[[], Any]

MIN_BATCH = 2e-3
"""Seconds that one timed batch lasts at least: calls shorter than this are repeated inside the batch."""

MIN_ROUNDS = 7


class MissingPeer(Exception):
    """A peer that a benchmark compares with is not installed; the benchmark is reported as skipped."""


@dataclass(frozen=True)
class Target:
    """A promise: the peer's time over ours is at least `speedup`; `words` say so in the report."""

    speedup: float
    words: str

    def met(self, speedup: float) -> bool:
        """Whether a measured speedup keeps the promise."""
        return speedup >= self.speedup


def faster(times: float) -> Target:
    """At least `times` times faster than the peer."""
    return Target(times, f">= {times:g}x faster")


def within(times: float) -> Target:
    """At most `times` the peer's time."""
    return Target(1 / times, f"<= {times:g}x its time")


@dataclass(frozen=True, kw_only=True)
class Race:
    """One of ours against its peers.

    Args:
        ours: what is measured, called without arguments. `functools.partial` costs least around it.
        peers: what it is compared with, by the name that the report shows.
        targets: what is promised against a peer, by its name. A peer without a target is reported all the same.
        limit: seconds that our call may take at most, where the promise is absolute.
        work: how much one call does, as number and unit, to report nanoseconds per unit: `(512 * 4096, "sample")`.
        agree: called with our result and each peer's before anything is timed; raises where they differ. A race
            between different computations proves nothing.
        threads: torch threads for all contestants.
        self_timed: the contestants return the seconds that count, instead of being timed from outside.
        unit: `"byte"` where they return, instead of seconds, how much memory they needed.
        rounds: how often everyone runs at least.
    """

    ours: Contestant
    peers: Mapping[str, Contestant] = field(default_factory=dict)
    targets: Mapping[str, Target] = field(default_factory=dict)
    limit: float | None = None
    work: tuple[int, str] | None = None
    agree: Callable[[Any, Any], object] | None = None
    threads: int = 1
    self_timed: bool = False
    unit: Literal["s", "byte"] = "s"
    rounds: int = MIN_ROUNDS

    def __post_init__(self) -> None:
        if self.unit != "s" and not self.self_timed:
            raise ValueError("only seconds can be measured from outside; contestants that measure are self_timed")
        if unknown := set(self.targets) - set(self.peers):
            raise ValueError(f"targets name no peer: {sorted(unknown)}; peers are {sorted(self.peers)}")

    def rehearse(self) -> None:
        """Run everyone once, untimed, and hold the results against each other."""
        ours = self.ours()
        for peer in self.peers.values():
            theirs = peer()
            if self.agree is not None:
                self.agree(ours, theirs)


@dataclass(frozen=True)
class Outcome:
    """Seconds per call in each round, ours first; round `i` of every contestant ran side by side."""

    race: Race
    ours: Sequence[float]
    peers: Mapping[str, Sequence[float]]

    def speedup(self, peer: str) -> float:
        """The peer's time over ours: the median of the ratios within the quieter half of the rounds.

        A ratio within a round cancels what slows both down; leaving out the rounds that took longest in all leaves out
        those in which something else ran beside one of them.
        """
        rounds = sorted(zip(self.ours, self.peers[peer], strict=True), key=sum)
        return statistics.median(theirs / ours for ours, theirs in rounds[: (len(rounds) + 1) // 2])

    def verdicts(self) -> Iterator[bool]:
        """Whether each promise was kept."""
        for peer, target in self.race.targets.items():
            yield target.met(self.speedup(peer))
        if self.race.limit is not None:
            yield statistics.median(self.ours) <= self.race.limit


@dataclass(frozen=True)
class Benchmark:
    """A registered race, not yet built: `build()` makes its data and contestants."""

    module: str
    title: str
    build: Callable[[], Race]


_registered: list[Benchmark] = []


def benchmark(title: str, **choices: Sequence[Any]) -> Callable[[Callable[..., Race]], Callable[..., Race]]:
    """Register a function that builds a `Race`; `choices` register it once for every combination, named in the title.

    `@benchmark("sosfilt, {sections} sections", sections=[2, 4])` calls it with `sections=2` and with `sections=4`.
    """

    def register(build: Callable[..., Race]) -> Callable[..., Race]:
        for values in itertools.product(*choices.values()):
            chosen = dict(zip(choices, values, strict=True))
            module = build.__module__.removeprefix("benchmarks.")
            _registered.append(Benchmark(module, title.format(**chosen), lambda chosen=chosen: build(**chosen)))
        return build

    return register


def need(name: str) -> ModuleType:
    """A peer's module, or `MissingPeer`."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:  # a compiled part that does not fit this machine
        raise MissingPeer(f"{name} is not installed; pip install -e '.[bench]'") from error


def discover(*patterns: str) -> list[Benchmark]:
    """The benchmarks of all `bench_*.py` files in this tree; given `patterns`, those with one in file or title."""
    here = Path(__file__).parent
    for file in sorted(here.rglob("bench_*.py")):
        importlib.import_module(".".join(("benchmarks", *file.relative_to(here).with_suffix("").parts)))
    benchmarks = sorted(_registered, key=lambda each: each.module)  # stable: within a file, the order of registration
    return [each for each in benchmarks if not patterns or any(p in f"{each.module} {each.title}" for p in patterns)]


def measure(race: Race, *, seconds: float) -> Outcome:
    """Time a race for about `seconds`, in rounds of one batch each; every round starts with another contestant."""
    import torch

    contestants = [race.ours, *race.peers.values()]
    before = torch.get_num_threads()
    torch.set_num_threads(race.threads)
    gc.collect()
    gc.disable()
    try:
        race.rehearse()
        timers = [_timer(each, self_timed=race.self_timed) for each in contestants]
        rounds: list[list[float]] = []
        start = timeit.default_timer()
        while len(rounds) < race.rounds or timeit.default_timer() - start < seconds:
            first = len(rounds) % len(timers)
            took = {i: timers[i]() for i in (*range(first, len(timers)), *range(first))}
            rounds.append([took[i] for i in range(len(timers))])
    finally:
        gc.enable()
        torch.set_num_threads(before)
    ours, *peers = map(list, zip(*rounds, strict=True))
    return Outcome(race, ours, dict(zip(race.peers, peers, strict=True)))


def _timer(contestant: Contestant, *, self_timed: bool) -> Callable[[], float]:
    """A function that runs a batch and returns seconds per call; finding the batch's size warms up."""
    if self_timed:
        return contestant
    timer = timeit.Timer(contestant)
    repeats = 1
    while (took := timer.timeit(repeats)) < MIN_BATCH:
        repeats = max(2 * repeats, int(1.2 * repeats * MIN_BATCH / max(took, 1e-9)))
    return lambda: timer.timeit(repeats) / repeats
