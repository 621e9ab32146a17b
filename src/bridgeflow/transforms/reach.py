"""How far a transform along time looks, and which samples of a recording a stretch of its result needs."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

__all__ = ["Reach"]


class Reach(NamedTuple):
    """How far a result looks around itself in the data.

    Args:
        before, after: samples before and after its own place that a sample of the result depends on, at most.
        ends: where that reaches beyond an end of the recording, that many samples from that end on matter as well; a
            piece is never given shorter than that.
    """

    before: int
    after: int
    ends: int = 0

    def needs(self, start: int, stop: int, length: int, rate: Fraction = Fraction(1)) -> tuple[int, int]:
        """The samples `[begin, end)` that the stretch `[start, stop)` of the result needs, start < stop.

        Applied to those samples alone, the transform gives that stretch as it gives it in the whole recording: what
        the ends of a piece change is outside of the stretch, unless they are the ends of the recording. `begin` is
        such a sample that sample `begin * rate` of the result lies on it.

        Args:
            start, stop: in samples of the result.
            length: samples of the recording.
            rate: samples of the result for one of the data.

        >>> Reach(2, 0).needs(10, 20, 100), Reach(2, 2, ends=7).needs(1, 4, 100)
        ((8, 20), (0, 7))
        >>> Reach(3, 3).needs(10, 20, 100, Fraction(2, 3))
        (12, 33)
        """
        up, down = rate.numerator, rate.denominator
        begin = start * down // up - self.before
        end = -(-(stop - 1) * down // up) + self.after + 1
        if end >= length:
            end, begin = length, min(begin, length - self.ends)
        if begin <= 0:
            begin, end = 0, max(end, min(self.ends, length))
        begin -= begin % down
        return begin, min(max(end, begin + self.ends), length)
