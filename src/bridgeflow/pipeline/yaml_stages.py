"""Transforms out of a configuration's nodes: names looked up in the closed registry, every finding with its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any, Protocol

from bridgeflow._document import MAX_BYTES, Document, Node, Steps, read_document, shown
from bridgeflow.errors import BridgeflowError, ConfigError, StageId, nearest, quoted
from bridgeflow.io import shown as shown_path
from bridgeflow.io.files import open_regular
from bridgeflow.transforms.base import Transform
from bridgeflow.transforms.registry import is_name, lookup, names
from bridgeflow.transforms.stage_names import HYDRA, LIGHTNING, name_of_target, spelled

__all__ = ["RateFollower", "StageReader", "read_stages"]


class RateFollower(Protocol):
    """Knows the sampling rate of the data at each place of a pipeline, for transforms that do not say it.

    Attributes:
        lost: the stage after which the data have no rate any more.
    """

    lost: StageId | None

    def add(self, stage: Transform) -> None:
        """The next stage."""

    def here(self, keys: Any) -> float | None:
        """The rate in Hz of the arrays that `keys` select after all stages so far."""


class StageReader:
    """Reads transforms out of a document.

    Args:
        document: where they are written.
        rates: gives fields `fs` that are left out their value; `None` leaves them out.
        statistics: opens the file of `save_statistics` that a transform names, given where its path is written; `None`
            for documents that may not name files.
    """

    def __init__(
        self,
        document: Document,
        rates: RateFollower | None = None,
        statistics: Callable[[Steps], Transform] | None = None,
    ) -> None:
        self._document = document
        self._rates = rates
        self._statistics = statistics

    def stages(self, steps: Steps, node: Node) -> list[Transform]:
        """A list of transforms.

        Raises:
            ConfigError: it is none, or one of them is wrong; with its place.
        """
        if not isinstance(node.value, list):
            raise self._document.error(steps, f"expected a list of transforms, got {shown(node)}")
        return [self.transform([*steps, index], one) for index, one in enumerate(node.value)]

    def transform(self, steps: Steps, node: Node) -> Transform:
        """One transform: `Name`, or `Name: {field: value}`, or as Hydra or Lightning spell it.

        Raises:
            ConfigError: an unknown name or field, or a value that the transform refuses; with its place.
        """
        name, written, place = self._name_and_fields(steps, node)
        if not is_name(name):
            raise self._document.error(steps, f"there is no transform {quoted(name)}; {nearest(name, names())}")
        try:
            cls: type[Transform] = lookup(name)
            if name == "Compose":
                return self._compose(cls, place, written)
            if "statistics" in written and cls.has_statistics:
                return self._fitted(name, place, written)
            raw = {field: value.plain() for field, value in written.items()}
            names_of_fields = cls.field_names(raw)
        except ConfigError as error:
            if error.location is not None:
                raise
            raise self._document.error(steps, str(error.args[0])) from error
        for field in written:
            if field not in names_of_fields:
                problem = f"{name} has no field {quoted(field)}; {nearest(field, names_of_fields)}"
                raise self._document.error([*place, field], problem, at_key=True)
        lost = self._fill_rate(place, cls, raw) if "fs" in names_of_fields and "fs" not in raw else None
        try:
            transform = cls.from_fields(raw)
        except BridgeflowError as error:
            raise self._about(error, place, name, raw, lost) from error
        except (MemoryError, OverflowError) as error:
            raise self._about(ConfigError(f"too large ({error})"), place, name, raw) from error
        if self._rates is not None:
            self._rates.add(transform)
        return transform

    def _fitted(self, name: str, place: Steps, written: dict[str, Node]) -> Transform:
        """A transform with the statistics of a file."""
        steps = [*place, "statistics"]
        if self._statistics is None:
            problem = "names a file, which jobs and pipelines may; write the numbers here, or use load_statistics"
            raise self._document.error(steps, problem)
        try:
            transform = self._statistics(steps)
            if type(transform).__name__ != name:
                raise ConfigError(f"the file is of {type(transform).__name__}, not of {name}")
            for field in written.keys() - {"statistics", "keys", "axis", "unseen"}:
                problem = f"the file of statistics says {field}; leave it out"
                raise self._document.error([*place, field], problem, at_key=True)
            own = {field: one.plain() for field, one in written.items() if field != "statistics"}
            transform = Transform.from_config({name: {**transform.to_config()[name], **own}})
        except BridgeflowError as error:
            if isinstance(error, ConfigError) and error.location is not None:
                raise
            raise self._document.error(steps, str(error.args[0] if error.args else error)) from error
        if self._rates is not None:
            self._rates.add(transform)
        return transform

    def _fill_rate(self, place: Steps, cls: type[Transform], raw: dict[str, Any]) -> StageId | None:
        """Give `fs` the rate of the data at this place; return the stage after which they have none, if any."""
        rates, keys = self._rates, raw.get("keys")
        if rates is None:
            return None
        try:
            fs = rates.here((keys,) if isinstance(keys, str) else keys)
        except ConfigError as error:
            if error.location is not None:
                raise
            raise self._document.error(place, str(error)) from error
        if fs is not None:
            raw["fs"] = fs
        elif rates.lost and any(one.name == "fs" and type(one.default) is float for one in fields(cls)):
            raise self._document.error(place, f"fs is needed: the data have no sampling rate after {rates.lost}")
        return rates.lost

    def _compose(self, cls: Any, place: Steps, written: dict[str, Node]) -> Transform:
        """A composition among the transforms: its stages are transforms again."""
        if set(written) != {"stages"} or not isinstance(written["stages"].value, list):
            raise self._document.error(place, "Compose has one field: stages, a list of transforms")
        composed: Transform = cls(self.stages([*place, "stages"], written["stages"]))
        return composed

    def _name_and_fields(self, steps: Steps, node: Node) -> tuple[str, dict[str, Node], Steps]:
        """The name, the nodes of the fields, and the way to the map that holds them."""
        if isinstance(node.value, str):
            return node.value, {}, [*steps, node.value]
        if not isinstance(node.value, dict):
            raise self._document.error(steps, f"expected `Name: {{field: value}}`, got {shown(node)}")
        if key := spelled(node.value):
            return self._spelled(steps, node.value, key)
        if len(node.value) == 1:
            ((name, content),) = node.value.items()
            return name, self._fields([*steps, name], content), [*steps, name]
        raise self._document.error(steps, f"expected `Name: {{field: value}}`, got {shown(node)}")

    def _spelled(self, steps: Steps, content: dict[str, Node], key: str) -> tuple[str, dict[str, Node], Steps]:
        """As Hydra or Lightning spell it."""
        try:
            name = name_of_target(content[key].value)
        except ConfigError as error:
            raise self._document.error([*steps, key], str(error.args[0])) from error
        if key == HYDRA:
            return name, {field: one for field, one in content.items() if field != HYDRA}, steps
        arguments = LIGHTNING[1]
        written = self._fields([*steps, arguments], content[arguments]) if arguments in content else {}
        return name, written, [*steps, arguments]

    def _fields(self, steps: Steps, content: Node) -> dict[str, Node]:
        if content.value is None:
            return {}
        if isinstance(content.value, dict):
            return content.value
        raise self._document.error(steps, f"expected a map of fields, got {shown(content)}")

    def _about(
        self, error: BridgeflowError, place: Steps, name: str, raw: dict[str, Any], lost: StageId | None = None
    ) -> ConfigError:
        """What a transform says about its fields, at the field where it names one that is written here.

        Args:
            lost: the stage after which the data have no sampling rate.
        """
        message = str(error.args[0] if error.args else error).removeprefix(f"{name}: ")
        field = error.field
        if field == "fs" and "fs" not in raw and self._rates is not None:
            remedy = f"the data have none after {lost}" if lost else "or say it once, as `fs` of the source"
            message = f"{message}; {remedy}"
        written = self._document.root.at(place).keys
        if field in written:
            return self._document.error([*place, field], message)
        return self._document.error(place, message, at_key=bool(written))


def read_stages(source: str | os.PathLike[str]) -> list[Transform]:
    """The transforms that a file or a text describes; see `Compose.from_yaml`."""
    if isinstance(source, str) and ("\n" in source or source.lstrip().startswith(("-", "[", "{"))):
        document = read_document(source.encode("utf-8", "surrogatepass"), "text")
    else:
        with os.fdopen(open_regular(source), "rb") as file:
            document = read_document(file.read(MAX_BYTES + 1), shown_path(source))
    root, reader = document.root, StageReader(document)
    content = root.value
    if isinstance(content, list):
        return reader.stages([], root)
    if not isinstance(content, dict) or not {"version", "transforms"} & set(content):
        return [reader.transform([], root)]
    for key in content:
        if key not in ("version", "transforms"):
            remedy = "load_job and load_pipeline read files with more than transforms"
            raise document.error([key], f"{quoted(key)} stands beside version and transforms; {remedy}", at_key=True)
    for key in ("version", "transforms"):
        if key not in content:
            raise document.error([], f"the key {key!r} is missing")
    version = content["version"].value
    if type(version) is not int or version != 1:
        raise document.error(["version"], f"expected 1, got {shown(content['version'])}")
    return reader.stages(["transforms"], content["transforms"])
