"""What `check` and `explain` say of a job over files of rows, and of one over recordings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridgeflow.cli.output import empty_lines, number_of, shown_path
from bridgeflow.errors import listed

if TYPE_CHECKING:
    from bridgeflow.io import Source
    from bridgeflow.pipeline.job import Job
    from bridgeflow.pipeline.training import TrainingPipeline
    from bridgeflow.pipeline.windows_job import WindowsJob
    from bridgeflow.transforms import Plan

__all__ = ["check_job", "check_pipeline", "explain_job", "write_page"]

Lines = list[tuple[str, str]]


def check_job(job: Job | WindowsJob, *, overwrite: bool) -> tuple[dict[str, Any], Lines]:
    """Facts and lines about a job that could run.

    Raises:
        BridgeflowError: what `run` would refuse before it reads samples.
    """
    from bridgeflow.pipeline.windows_job import WindowsJob

    job.check_outputs(overwrite=overwrite)
    if job.sink.shards:
        from bridgeflow.engines.ledger import check_folder

        check_folder(job, job.recordings(), overwrite=overwrite)
    facts, plan, what = _checked_windows(job) if isinstance(job, WindowsJob) else _checked_files(job)
    recordings = number_of(facts["recordings"], "recording")
    many = f"{recordings}, " if job.is_many else ""
    lines = [
        ("reads", f"{shown_path(job.source_path)}: {many}{facts['rows']:,} {what} of {listed(facts['columns'])}"),
        ("stages", f"{facts['stages']}, {plan.summary()}"),
        ("runs", facts["runs"]),
        ("writes", ", ".join(map(shown_path, job.outputs.values()))),
        *empty_lines(facts["without_rows"]),
    ]
    return {"ok": True, **facts}, [*lines, ("", "all fine")]


def check_pipeline(pipeline: TrainingPipeline) -> tuple[dict[str, Any], Lines]:
    """Facts and lines about a pipeline whose parts could be read.

    Raises:
        BridgeflowError: what a training script would be refused at its start.
    """
    pipeline = pipeline.without_rejection()
    parts, lines = {}, []
    for part in pipeline.parts:
        plan = pipeline.check(part)
        dataset, loader = pipeline.datasets[part], pipeline.loaders[part]
        what = "row" if plan is None else "window"
        facts: dict[str, Any] = {f"{what}s": len(dataset), "batches": len(loader)}
        if plan is not None:
            facts["recordings"] = len(pipeline.recordings[part])
        parts[part] = facts
        many = "" if plan is None else f"{number_of(facts['recordings'], 'recording')}, "
        batches = f"{len(loader):,} batch" + ("" if len(loader) == 1 else "es")
        lines.append((part, f"{many}{number_of(len(dataset), what)}, {batches}"))
    stages = len(pipeline.transform.stages)
    return {"ok": True, "stages": stages, "parts": parts}, [*lines, ("stages", f"{stages}"), ("", "all fine")]


def _facts(job: Job | WindowsJob, columns: list[str], lengths: list[int], empty: int, how: str) -> dict[str, Any]:
    facts = {"recordings": len(lengths), "rows": sum(lengths), "columns": columns}
    return {**facts, "stages": len(job.transform.stages), "runs": how, "without_rows": empty}


def _checked_files(job: Job) -> tuple[dict[str, Any], Plan, str]:
    lengths, empty, columns, how, row_types = [], 0, [""], "", None
    first: Plan | None = None
    for one in job.recordings():
        with job.open(one.path) as source:
            plan, row_types = job.plan_alike(source, row_types)
            lengths.append(source.rows)
            empty += job.gives_nothing(plan, source)
            if first is None:
                first, columns, how = plan, list(source.specs), _how(job, source, plan)
    assert first is not None
    job.require_few_shards(first, lengths)
    return _facts(job, columns, lengths, empty, how), first, "rows"


def _checked_windows(job: WindowsJob) -> tuple[dict[str, Any], Plan, str]:
    checked = job.checked()
    columns = list(dict.fromkeys(name for one in job.opened for name in one.columns))
    facts = _facts(job, columns, checked.windows, checked.windows.count(0), _how_windows(job, checked.plan))
    return facts, checked.plan, "windows"


def explain_job(job: Job | WindowsJob) -> tuple[dict[str, Any], list[str]]:
    """The plan of a job as facts and as lines, for the first of its recordings."""
    from bridgeflow.pipeline.windows_job import WindowsJob

    first, *others = job.recordings()
    if isinstance(job, WindowsJob):
        plan = job.plan()
        how = _how_windows(job, plan)
    else:
        with job.open(first.path) as source:
            plan = job.plan(source)
            how = _how(job, source, plan)
    names = ("stage", "place", "from", "to", "action", "bytes", "why")
    steps = [dict(zip(names, row, strict=True)) for row in plan.rows()]
    facts = {"steps": steps, "bytes": plan.total_bytes, "obstacles": list(plan.obstacles), "runs": how}
    lines = [str(plan), f"runs {how}"]
    if others:
        lines.append(f"this is {shown_path(first.path)}, the first of {1 + len(others):,} recordings")
    return {"recording": str(first.path), "recordings": 1 + len(others), **facts}, lines


_SHOWN_ROWS = 4_096
"""Time steps, or examples, that the page of a plan takes through the stages."""


def write_page(job: Job | WindowsJob, facts: dict[str, Any], path: Path, *, overwrite: bool) -> None:
    """Write the plan as a page, with the first rows of the first recording taken through the stages.

    Raises:
        ConfigError: the page is not called .html, or the job cuts recordings into windows.
        DataError: it exists and may not be replaced.
    """
    from bridgeflow.cli.page import glimpses, page
    from bridgeflow.errors import ConfigError
    from bridgeflow.io import publish
    from bridgeflow.pipeline.windows_job import WindowsJob

    if path.suffix.lower() not in {".html", ".htm"}:
        raise ConfigError(f"{shown_path(path)}: pages end in .html; give it another name")
    if isinstance(job, WindowsJob):
        raise ConfigError("--html is for jobs over files of rows; the plan of windows is printed without it")
    with job.open(job.recordings()[0].path) as source:
        rows = min(source.rows, _SHOWN_ROWS)
        columns = job.layout(source).opened(source.slice(0, rows))
    shown = list(glimpses(job.transform, columns))
    stages = [shown_path(job.source_path), *(str(label) for label, _ in job.transform.row), shown_path(job.sink.path)]
    about = f"The first {rows:,} of {source.rows:,} rows of {shown_path(source.path)}, by themselves."
    text = page(f"Plan of {shown_path(job.source_path)}", facts, stages, shown, about)
    with publish(path, overwrite=overwrite) as output:
        output.file.write(text.encode())


def _how(job: Job, source: Source, plan: Plan) -> str:
    """Whether the rows go through in chunks, or why not."""
    if reason := job.whole(plan):
        return f"on the whole recording at once: {reason}"
    rows = job.chunk_rows(source)
    shards = f"; a shard for each {job.shard_rows(source):,} rows" if job.sink.shards else ""
    at_once = source.rows <= rows and not job.sink.shards
    return f"at once: {source.rows:,} rows are one chunk" if at_once else f"in chunks of {rows:,} rows{shards}"


def _how_windows(job: WindowsJob, plan: Plan) -> str:
    """How many windows are computed at a time."""
    return f"{job.chunk_rows(plan):,} windows at a time; a shard for each {job.shard_rows(plan):,} windows"
