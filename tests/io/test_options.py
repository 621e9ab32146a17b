"""One list of options: the arguments of `open_source` and `open_sink`, a job's fields and a configuration's keys."""

import inspect
from dataclasses import MISSING, fields

import pytest

from bridgeflow.config.models import ReportSection, SinkSection, SourceSection
from bridgeflow.io import open_sink, open_source
from bridgeflow.io.options import OpenOptions, SinkOptions, SourceOptions, WriterOptions
from bridgeflow.pipeline.job_parts import JobReport, JobSink, JobSource


@pytest.mark.parametrize(
    ("function", "options", "others"),
    [
        pytest.param(open_source, OpenOptions, {"source"}, id="source"),
        pytest.param(open_sink, WriterOptions, {"path", "format", "overwrite", "roots"}, id="sink"),
    ],
)
def test_functions_take_every_option_with_its_default(function, options, others):
    parameters = dict(inspect.signature(function).parameters)
    assert set(parameters) - others == {one.name for one in fields(options)}
    for one in fields(options):
        default = one.default if one.default is not MISSING else None
        assert parameters[one.name].default == default, one.name
        assert parameters[one.name].kind is inspect.Parameter.KEYWORD_ONLY


@pytest.mark.parametrize(("part", "options"), [(JobSource, SourceOptions), (JobSink, SinkOptions)])
def test_parts_of_a_job_have_every_option(part, options):
    defaults = {one.name: one.default for one in fields(part)}
    assert {one.name: one.default for one in fields(options)}.items() <= defaults.items()


@pytest.mark.parametrize(
    ("section", "part", "others"),
    [
        pytest.param(SourceSection, JobSource, {"path", "format"}, id="source"),
        pytest.param(SinkSection, JobSink, {"path", "format", "shards"}, id="sink"),
        pytest.param(ReportSection, JobReport, set(), id="report"),
    ],
)
def test_sections_of_a_configuration_have_every_option(section, part, others):
    keys = {name: one.default for name, one in section.model_fields.items()}
    assert keys == {one.name: one.default for one in fields(part) if one.name not in others}
    assert all(one.description for one in section.model_fields.values())
