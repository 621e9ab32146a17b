"""The JSON Schema of a configuration, for editors that complete and check while one types."""

from __future__ import annotations

from typing import Any

from bridgeflow.config.models import ReportSection, SinkSection, SourceSection, section_schema
from bridgeflow.io import all_formats
from bridgeflow.pipeline.job import MAX_THREADS
from bridgeflow.transforms import registry

__all__ = ["config_schema"]


def config_schema() -> dict[str, Any]:
    """The JSON Schema (2020-12) of a configuration, generated from the registries.

    >>> schema = config_schema()
    >>> schema["required"], "Scale" in schema["$defs"]
    (['version', 'source', 'sink'], True)
    """
    transform = registry.schema(filled=["fs"])  # the source has it
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "BridgeFlow job",
        "description": "Source, transforms, sink: what `bridgeflow run` does.",
        "type": "object",
        "properties": {
            "version": {"const": 1},
            "source": section_schema(SourceSection, list(all_formats())),
            "transforms": {"type": "array", "items": {"$ref": "#/$defs/transform"}},
            "sink": section_schema(SinkSection, list(all_formats())),
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
        "$defs": transform["$defs"],
    }
