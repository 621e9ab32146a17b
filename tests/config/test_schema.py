"""The JSON Schema of a configuration: whole, and made from the registries."""

from bridgeflow.config import config_schema
from bridgeflow.io import formats
from bridgeflow.transforms import registry


def references(value):
    if isinstance(value, dict):
        yield from [value["$ref"]] if "$ref" in value else []
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_reference_leads_somewhere():
    schema = config_schema()
    for reference in references(schema):
        node = schema
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_it_names_every_format_transform_and_field():
    schema = config_schema()
    for section in ("source", "sink"):
        properties = schema["properties"][section]["properties"]
        assert set(formats()) <= set(properties)
        assert schema["properties"][section]["oneOf"] == [{"required": [name]} for name in formats()]
    assert set(registry.names()) <= set(schema["$defs"])
    assert schema["properties"]["transforms"]["items"] == {"$ref": "#/$defs/transform"}
    assert "scale" in schema["$defs"]["Scale"]["properties"]
    assert schema["properties"]["source"]["additionalProperties"] is False
