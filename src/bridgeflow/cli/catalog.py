"""What `bridgeflow list NAME` says of a transform, a format, or a function of SciPy: its fields, and what they mean."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from bridgeflow.errors import ConfigError, nearest

__all__ = ["describe", "entry_lines"]


def describe(name: str) -> dict[str, Any]:
    """A transform, format or function by its name, as plain values.

    Raises:
        ConfigError: there is none; names the nearest.

    >>> [field["name"] for field in describe("Clone")["fields"]]
    ['keys']
    """
    from bridgeflow.io import all_formats
    from bridgeflow.signal.scipy_list import FUNCTIONS
    from bridgeflow.transforms import registry

    if name in registry.names():
        return _transform(name)
    if name in all_formats():
        return _format(name)
    if name in FUNCTIONS:
        return _function(name)
    hint = nearest(name, [*registry.names(), *all_formats(), *FUNCTIONS])
    raise ConfigError(f"there is no transform, format or function of that name; {hint}")


def _transform(name: str) -> dict[str, Any]:
    from bridgeflow.signal.scipy_list import FUNCTIONS
    from bridgeflow.transforms import registry

    cls = registry.lookup(name)
    schema = cls.field_schema()
    fields = [
        _field(field, one, one.get("description", ""), field in schema.get("required", ()))
        for field, one in schema["properties"].items()
    ]
    more = {"functions": sorted(FUNCTIONS)} if name == "Scipy" else {}
    return {"name": name, "kind": "transform", "about": schema["description"], "fields": fields, **more}


def _format(name: str) -> dict[str, Any]:
    from bridgeflow.io import all_formats

    form = all_formats()[name]
    words = {"compression": form.writer.compressions, "dtype": form.writer.dtypes}
    fields = [
        {
            "name": field,
            "type": " | ".join(map(json.dumps, takes)) or "none",
            "required": False,
            "default": None,
            "meaning": "of a sink",
        }
        for field, takes in words.items()
    ]
    return {"name": name, "kind": "format", "about": form.about, "suffixes": list(form.suffixes), "fields": fields}


def _function(name: str) -> dict[str, Any]:
    from bridgeflow.ranges import range_words
    from bridgeflow.signal.scipy_list import FUNCTIONS
    from bridgeflow.transforms.fields import hint_schema

    entry = FUNCTIONS[name]
    fields = []
    for option, one in entry.options.items():
        words = range_words(one.hint)
        words += ["odd"] if one.odd else []
        fields.append(_field(option, hint_schema(one.hint), ", ".join(words), one.required))
    about = f"scipy.{name} as a transform: Scipy: {{function: {name}}}; scipy.org documents the options"
    if entry.instead:
        about += f"; {entry.instead} does the same and streams"
    return {"name": name, "kind": "function", "about": about, "fields": fields}


def _field(name: str, schema: Mapping[str, Any], meaning: str, required: bool) -> dict[str, Any]:
    return {
        "name": name,
        "type": type_words(schema),
        "required": required,
        "default": schema.get("default"),
        "meaning": meaning,
    }


def type_words(schema: Mapping[str, Any]) -> str:
    """A JSON Schema in a few words.

    >>> type_words({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]})
    'list of text | null'
    >>> type_words({"enum": ["auto", "never"]})
    '"auto" | "never"'
    """
    if "enum" in schema:
        words = [json.dumps(word) for word in schema["enum"]]
        return " | ".join(words) if len(words) <= 20 else f"one of {len(words)} names"
    if "const" in schema:
        return json.dumps(schema["const"])
    if "anyOf" in schema:
        return " | ".join(dict.fromkeys(type_words(one) for one in schema["anyOf"]))
    if schema.get("type") == "array":
        items = schema.get("prefixItems") or [schema["items"]] if schema.get("items") or "prefixItems" in schema else []
        inner = ", ".join(dict.fromkeys(map(type_words, items)))
        return f"list of {inner}" if " | " not in inner else f"list of ({inner})"
    names = {"string": "text", "integer": "whole number", "boolean": "true | false", "object": "map"}
    kind = schema.get("type", "value")
    return names.get(kind, kind) if isinstance(kind, str) else " | ".join(kind)


def entry_lines(entry: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The same for people: labels and texts."""
    lines = [(entry["name"], entry["about"])]
    if "suffixes" in entry:
        lines.append(("", f"suffixes: {' '.join(entry['suffixes'])}"))
    for field in entry["fields"]:
        default = "required" if field["required"] else f"default {json.dumps(field['default'], ensure_ascii=False)}"
        if entry["kind"] == "function" and not field["required"]:
            default = "SciPy's default where left out"
        lines.append((field["name"], f"{field['type']}; {default}"))
        if field["meaning"]:
            lines.append(("", field["meaning"]))
    if "functions" in entry:
        lines += [("", ""), ("functions", "each with `bridgeflow list FUNCTION`")]
        lines += [("", name) for name in entry["functions"]]
    return lines
