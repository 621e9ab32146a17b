"""How patient requests to stores are, and how many bytes of remote files are kept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bridgeflow.policy import parse_integer

__all__ = ["StoreOptions", "configure_stores", "store_options"]


@dataclass(frozen=True, kw_only=True)
class StoreOptions:
    """What `configure_stores` sets; of the process.

    Attributes:
        tries: how often a request is made before a failure that may pass (no answer in time, a connection that breaks,
            HTTP 429 and 5xx) becomes a `StoreError`; other failures are errors at once.
        first_wait, longest_wait: seconds between the first two tries, and at most; each wait is twice the one before,
            less a random part of up to a half. A store that asks for longer (`Retry-After`) gets up to the longest.
        timeout: seconds that a request may take; for long ones more, as if a second carried 256 KiB.
        block_nbytes: what a remote file is cut into; no request asks for less.
        cache_nbytes: bytes of blocks that are kept, of all remote files together.
        read_ahead_nbytes: most bytes that are read ahead where a file is read front to back.
        requests: how many requests one call makes at a time.
        download_nbytes: most bytes of a file that is downloaded as a whole because its server gives no ranges.
    """

    tries: int = 6
    first_wait: float = 0.25
    longest_wait: float = 20.0
    timeout: float = 60.0
    block_nbytes: int = 128 << 10
    cache_nbytes: int = 256 << 20
    read_ahead_nbytes: int = 8 << 20
    requests: int = 8
    download_nbytes: int = 4 << 30

    def __post_init__(self) -> None:
        for name, least in (
            ("tries", 1),
            ("block_nbytes", 1 << 10),
            ("cache_nbytes", 0),
            ("read_ahead_nbytes", 0),
            ("requests", 1),
            ("download_nbytes", 0),
        ):
            parse_integer(getattr(self, name), field=name, least=least)
        for name in ("first_wait", "longest_wait", "timeout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= 86_400:
                raise ValueError(f"{name}: expected seconds, more than 0 and at most 86,400, got {value!r}")

    def time_for(self, nbytes: int) -> float:
        """Seconds that a request for so many bytes may take."""
        return self.timeout + nbytes / (256 << 10)


_current = StoreOptions()


def store_options() -> StoreOptions:
    """The options that hold now."""
    return _current


def configure_stores(**options: Any) -> StoreOptions:
    """Set options of object stores and web servers for this process and those that it forks; the others stay.

    Args:
        options: see `bridgeflow.io.StoreOptions`.

    Returns:
        The options that held before: `configure_stores(**vars(before))` brings them back.

    Raises:
        ValueError, TypeError: an option that there is not, or a value that it does not take.

    >>> before = configure_stores(tries=3)
    >>> configure_stores(**vars(before)).tries
    3
    """
    global _current
    before, _current = _current, replace(_current, **options)
    return before
