"""The picture of a job's report: refused before the work where it cannot be drawn, drawn within, published after it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bridgeflow.engines.local import Interference, Pair
    from bridgeflow.pipeline.job import Job
    from bridgeflow.pipeline.job_base import BaseJob

__all__ = ["drawn_picture", "publish_report_picture", "require_picture"]


def require_picture(job: BaseJob, *, imported: bool = True) -> None:
    """Refuse before the work what could not be drawn after it; `imported` as for `require_matplotlib`."""
    if job.report and job.report.png:
        from bridgeflow.plots import require_matplotlib

        require_matplotlib(imported=imported)


def drawn_picture(job: Job, pair: Pair, hum: Interference | None) -> list[bytes]:
    """The picture of the report, where it wants one."""
    report = job.report
    if report is None or report.png is None:
        return []
    from bridgeflow.plots import BeforeAfter, before_after_png

    what = BeforeAfter(
        before=pair.before,
        after=pair.after,
        fs=pair.fs,
        before_fs=pair.before_fs,
        title=job.source_path.stem,
        name=pair.name,
        unit=report.unit or "",
        one_unit=pair.one_unit,
        hum=None if hum is None else (hum.frequency, hum.before_db, hum.after_db),
        seconds=report.seconds,
    )
    return [before_after_png(what)]


def publish_report_picture(job: Job, drawn: list[bytes], *, overwrite: bool) -> Path | None:
    """Write the picture that was drawn; its path, where there is one."""
    if not drawn or job.report is None or job.report.png is None:
        return None
    from bridgeflow.plots import publish_picture

    publish_picture(drawn[0], job.report.png, overwrite=overwrite, roots=job.output_roots)
    return job.report.png
