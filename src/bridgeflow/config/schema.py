"""The JSON Schemas of configurations, for editors that complete, explain and check while one types."""

from __future__ import annotations

from typing import Any

from bridgeflow.config.models import (
    SAMPLERS,
    DatasetSection,
    LoaderSection,
    RecordingsSection,
    RegridSection,
    RejectSection,
    ReportSection,
    SinkSection,
    SourceSection,
    SplitSection,
    section_schema,
)
from bridgeflow.errors import ConfigError, nearest, quoted
from bridgeflow.io import all_formats
from bridgeflow.pipeline.job import MAX_THREADS
from bridgeflow.pipeline.recordings_source import RecordingsSource
from bridgeflow.recordings.formats import recording_formats
from bridgeflow.transforms import registry

__all__ = ["config_schema", "pipeline_schema", "transform_schema"]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_VERSION = {"const": 1, "description": "Of this format; always 1."}
_PATH = {"type": "string", "minLength": 1, "maxLength": 1024}


def config_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a job, generated from the registries.

    >>> schema = config_schema()
    >>> schema["required"], "Scale" in schema["$defs"]
    (['version', 'source', 'sink'], True)
    """
    return {
        "$schema": _DRAFT,
        "title": "BridgeFlow job",
        "description": "Source, transforms, sink: what `bridgeflow run` does.",
        "type": "object",
        "properties": {
            "version": _VERSION,
            "source": {"$ref": "#/$defs/source", "description": "What is read: files of rows, or recordings."},
            "transforms": _TRANSFORMS,
            "sink": section_schema(SinkSection, _formats()),
            "report": section_schema(ReportSection),
            "threads": {
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_THREADS,
                "description": "For a folder of shards: recordings to work on at a time; where left out, as many as "
                "there are processors, at most 8. The bytes that are written do not depend on it.",
            },
        },
        "required": ["version", "source", "sink"],
        "additionalProperties": False,
        "$defs": {**_transforms(), "source": _source()},
    }


def pipeline_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a pipeline file, which `bridgeflow.load_pipeline` reads.

    >>> sorted(pipeline_schema()["properties"])
    ['dataset', 'loader', 'reject', 'sampler', 'source', 'sources', 'split', 'transforms', 'version']
    """
    source = {"$ref": "#/$defs/source"}
    return {
        "$schema": _DRAFT,
        "title": "BridgeFlow pipeline",
        "description": "Recordings or files, how they are split, transforms, batches: what a training script reads.",
        "type": "object",
        "properties": {
            "version": _VERSION,
            "source": {**source, "description": "What is read: recordings, or files of rows."},
            "sources": {
                "type": "object",
                "minProperties": 1,
                "additionalProperties": source,
                "description": "A source for each part, by its name, instead of `source` and `split`.",
            },
            "split": section_schema(SplitSection),
            "reject": section_schema(RejectSection),
            "transforms": _TRANSFORMS,
            "dataset": section_schema(DatasetSection),
            "loader": section_schema(LoaderSection),
            "sampler": {
                "type": "object",
                "properties": {name: section_schema(model) for name, model in SAMPLERS.items()},
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": False,
                "description": "Which rows an epoch of the training part has, instead of `shuffle` of the loader.",
            },
        },
        "required": ["version"],
        "oneOf": [{"required": ["source"]}, {"required": ["sources"]}],
        "additionalProperties": False,
        "$defs": {**_transforms(), "source": _source()},
    }


def transform_schema(name: str) -> dict[str, Any]:
    """The JSON Schema of the fields of one transform.

    Raises:
        ConfigError: there is none of that name; names the nearest.

    >>> transform_schema("Scale")["properties"]["scale"]["type"]
    'number'
    """
    if not registry.is_name(name):
        raise ConfigError(f"there is no transform {quoted(name)}; {nearest(name, registry.names())}")
    fields = registry.lookup(name).field_schema()
    definitions = {"$defs": registry.schema()["$defs"]} if "#/$defs/transform" in str(fields) else {}
    return {"$schema": _DRAFT, "title": name, **fields, **definitions}


_TRANSFORMS = {
    "type": "array",
    "items": {"$ref": "#/$defs/transform"},
    "description": "In sequence: each is `Name` or `Name: {field: value}`.",
}


def _transforms() -> dict[str, Any]:
    definitions: dict[str, Any] = registry.schema(filled=["fs"])["$defs"]  # the source has it
    for name in registry.names():
        if name in definitions and registry.lookup(name).has_statistics:
            about = "Path of a file of save_statistics, which says all other fields but keys, axis and unseen."
            definitions[name]["properties"]["statistics"] = {**_PATH, "description": about}
            definitions[name]["required"] = []
    return definitions


def _formats() -> dict[str, Any]:
    """The keys that name a format, each with the schema of its path."""
    return {
        name: {
            **_PATH,
            "description": f"Path relative to the configuration's own folder: {form.about} "
            f"({' '.join(form.suffixes)}). One that ends with a slash is a folder of shards.",
        }
        for name, form in all_formats().items()
    }


def _source() -> dict[str, Any]:
    return {"anyOf": [section_schema(SourceSection, _formats()), _recordings()]}


def _recordings() -> dict[str, Any]:
    about = "relative to the configuration's own folder"
    one = {**_PATH, "description": f"Path of a file or a folder, {about}, or a pattern."}
    paths: dict[str, Any] = {
        "recordings": {
            "anyOf": [one, {"type": "array", "items": one, "minItems": 1}],
            "description": f"Files, folders, or patterns (`*`, `?`, `[a-z]`, `**` for folders below), {about}.",
        },
        "table": {**_PATH, "description": f"A CSV, TSV, Parquet or Arrow file with a row for each recording, {about}."},
        "index": {**_PATH, "description": f"A file that `Recordings.save` wrote, {about}."},
    }
    schema = section_schema(RecordingsSection, paths)
    schema["properties"]["regrid"] = section_schema(RegridSection)
    schema["properties"]["root"] = {
        **_PATH,
        "description": f"Of a table: the folder of its paths, {about}; where left out, the table's own.",
    }
    schema["properties"]["format"] = {**schema["properties"]["format"]}
    schema["properties"]["format"]["anyOf"] = [{"enum": list(recording_formats())}, {"type": "null"}]
    files = ("format", "fs", "inside", "time_axis", "nulls", "time", "regrid")
    refused = {
        "recordings": ("path", "id", "root"),
        "table": ("group",),
        "index": ("path", "id", "root", "group", *files),
    }
    schema["dependentRequired"] = {"time": ["regrid"], "regrid": ["time"]}
    schema["allOf"] = [
        {"if": {"required": [key]}, "then": {"properties": dict.fromkeys(keys, False)}} for key, keys in refused.items()
    ]
    assert set(RecordingsSource.where) <= set(schema["properties"])
    return schema
