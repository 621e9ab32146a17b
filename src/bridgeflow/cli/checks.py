"""What `check` and `explain` say of a job over files of rows, and of one over recordings."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from bridgeflow.cli.output import empty_lines, number_of, shown_path
from bridgeflow.errors import listed

if TYPE_CHECKING:
    from bridgeflow.cli.glimpses import Glimpse
    from bridgeflow.io import Source
    from bridgeflow.pipeline.compose import Compose
    from bridgeflow.pipeline.dataset import SignalDataset
    from bridgeflow.pipeline.job import Job
    from bridgeflow.pipeline.training import TrainingPipeline
    from bridgeflow.pipeline.windows_job import WindowsJob
    from bridgeflow.transforms import Plan

__all__ = ["Explained", "check_job", "check_pipeline", "explain_job", "explain_pipeline", "write_page"]

Lines = list[tuple[str, str]]


def check_job(job: Job | WindowsJob, *, overwrite: bool) -> tuple[dict[str, Any], Lines]:
    """Facts and lines about a job that could run.

    Raises:
        BridgeflowError: what `run` would refuse before it reads samples.
    """
    from bridgeflow.pipeline.job import Job

    job.check_outputs(overwrite=overwrite)
    if job.sink.shards:
        from bridgeflow.engines.ledger import check_folder

        check_folder(job, job.recordings(), overwrite=overwrite)
    facts, plan, what = _checked_files(job) if isinstance(job, Job) else _checked_windows(job)
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


class Explained(NamedTuple):
    """What `explain` says.

    Attributes:
        facts, lines: the plan, for machines and for people.
        subject: what is explained: the path of the configuration.
        stages: their names, what they read and what they make at the ends.
        notes: how it runs, sentence by sentence.
        show: what each stage does to data, and which data these are; reads them.
    """

    facts: dict[str, Any]
    lines: list[str]
    subject: str
    stages: list[str]
    notes: list[str]
    show: Callable[[], tuple[str, Iterable[Glimpse]]]


def explain_job(job: Job | WindowsJob, name: str) -> Explained:
    """The plan of a job, for the first of its recordings.

    Args:
        name: the path of the configuration.
    """
    from bridgeflow.pipeline.job import Job

    first, *others = job.recordings()
    if not isinstance(job, Job):
        plan, show = job.plan(), partial(_first_window, job.dataset)
        how, notes = _how_windows(job, plan), []
    else:
        with job.open(first.path) as source:
            plan, show = job.plan(source), partial(_first_rows, job, first.path)
            how = _how(job, source, plan)
        obstacles = "; ".join(dict.fromkeys(plan.obstacles))
        notes = [f"It does not stream: {obstacles}." if obstacles else "It streams."]
    lines = [str(plan), f"runs {how}"]
    if others:
        lines.append(f"this is {shown_path(first.path)}, the first of {1 + len(others):,} recordings")
        notes.append(f"The plan is that of {shown_path(first.path)}, the first of {1 + len(others):,} recordings.")
    facts = {"recording": str(first.path), "recordings": 1 + len(others), **_plan_facts(plan), "runs": how}
    stages = _named_stages(shown_path(job.source_path), job.transform, shown_path(job.sink.path))
    return Explained(facts, lines, name, stages, [f"Runs {how}.", *notes], show)


def explain_pipeline(pipeline: TrainingPipeline, part: str | None, name: str) -> Explained:
    """The plan of one part of a pipeline, for its first window or row.

    Args:
        part: `None` for `train`, or the first where there is none of that name.
        name: the path of the file.
    """
    from bridgeflow.pipeline.lazy import RecordingWindows

    pipeline = pipeline.without_rejection()
    part = part or next((one for one in pipeline.parts if one == "train"), pipeline.parts[0])
    dataset = pipeline.datasets[part]
    transform = pipeline.transform_of(part)
    plan = pipeline.check(part)
    what = "window" if isinstance(dataset.source, RecordingWindows) else "row"
    if plan is None:
        plan = _plan_of_first_row(pipeline, part)
    loader = pipeline.loaders[part]
    batches = f"{len(loader):,} batch" + ("" if len(loader) == 1 else "es")
    how = f"{what} by {what}, as batches ask for them: {number_of(len(dataset), what)} in {batches}"
    others = [one for one in pipeline.parts if one != part]
    left_out = [str(label) for label, stage in pipeline.transform.row if getattr(stage, "random", False)]
    notes = [f"this is part {part}; there {'is' if len(others) == 1 else 'are'} {listed(others)} too"] if others else []
    if left_out:
        notes.append(f"{', '.join(left_out)}: in train alone")
    facts = {"part": part, "parts": list(pipeline.parts), **_plan_facts(plan), "runs": how}
    source: Any = pipeline.sources["train" if pipeline.split is not None else part]
    read = shown_path(source.path if what == "row" else source.named)
    size = getattr(loader, "batch_size", None)
    stages = _named_stages(read, transform, "batches" if size is None else f"batches of {size}")
    sentences = [f"Runs {how}.", *(f"{note[0].upper()}{note[1:]}." for note in notes)]
    show = partial(_first_window, dataset) if what == "window" else partial(_first_row, pipeline, part)
    return Explained(facts, [str(plan), f"runs {how}", *notes], name, stages, sentences, show)


def _plan_of_first_row(pipeline: TrainingPipeline, part: str) -> Plan:
    from bridgeflow.pipeline.compose import Compose

    row = replace(pipeline, transform=Compose()).datasets[part][0]
    return pipeline.transform_of(part).explain(row)


def _plan_facts(plan: Plan) -> dict[str, Any]:
    names = ("stage", "place", "from", "to", "action", "bytes", "why")
    steps = [dict(zip(names, row, strict=True)) for row in plan.rows()]
    return {"steps": steps, "bytes": plan.total_bytes, "obstacles": list(plan.obstacles)}


def _named_stages(source: str, transform: Compose, sink: str) -> list[str]:
    return [source, *(str(label) for label, _ in transform.row), sink]


_SHOWN_ROWS = 4_096
"""Time steps, or examples, that the page of a plan takes through the stages."""


def _first_rows(job: Job, path: Path) -> tuple[str, Iterable[Glimpse]]:
    from bridgeflow.cli.glimpses import glimpses_of_rows

    with job.open(path) as source:
        rows = min(source.rows, _SHOWN_ROWS)
        columns = job.layout(source).opened(source.slice(0, rows))
        words = f"The first {rows:,} of {source.rows:,} rows of {shown_path(source.path)}, by themselves."
    return words, glimpses_of_rows(job.transform, columns)


def _first_row(pipeline: TrainingPipeline, part: str) -> tuple[str, Iterable[Glimpse]]:
    from bridgeflow.cli.glimpses import glimpses_of_first_row

    source = pipeline.datasets[part].source
    words = f"The first of {source.rows:,} rows of {source.name}, with the random numbers of its first epoch."
    return words, glimpses_of_first_row(pipeline, part)


def _first_window(dataset: SignalDataset) -> tuple[str, Iterable[Glimpse]]:
    from bridgeflow.cli.glimpses import glimpses_of_first_window

    return glimpses_of_first_window(dataset)


def write_page(explained: Explained, path: Path, *, overwrite: bool) -> None:
    """Write the plan as a page, with real data taken through the stages.

    Raises:
        ConfigError: the page is not called .html.
        DataError: it exists and may not be replaced; the data cannot be read.
    """
    from bridgeflow.cli.page import page
    from bridgeflow.errors import ConfigError
    from bridgeflow.io import publish, refuse_existing

    if path.suffix.lower() not in {".html", ".htm"}:
        raise ConfigError(f"{shown_path(path)}: pages end in .html; give it another name")
    refuse_existing(path, overwrite=overwrite)
    about, shown = explained.show()
    title = f"Plan of {explained.subject}"
    text = page(title, explained.facts, explained.stages, explained.notes, list(shown), about)
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
