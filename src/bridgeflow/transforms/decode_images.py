"""DecodeImages: PNG, JPEG and other images, as columns of tables hold them, to arrays."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np

from bridgeflow._optional import loaded, require
from bridgeflow.bridge import describe, kind_of, route, to_numpy, to_tensor
from bridgeflow.errors import BridgeflowError, ConfigError, DataError, NoRoute, StageId, at_place
from bridgeflow.io.files import open_regular
from bridgeflow.policy import Layout, parse_word
from bridgeflow.ranges import Length
from bridgeflow.spec import Exchange
from bridgeflow.transforms.base import Transform
from bridgeflow.transforms.plan import UNKNOWN, Opaque, Plan, is_spec
from bridgeflow.transforms.registry import register
from bridgeflow.transforms.runner import locate
from bridgeflow.tree import compile_recipe, open_tables, parse_keys

__all__ = ["DecodeImages"]

ImageMode: TypeAlias = Literal["L", "LA", "RGB", "RGBA", "I;16", "I", "F", "1"]
"""PIL's modes that images may be converted to."""

DecodedKind: TypeAlias = Literal["torch", "numpy"]
"""What images become."""

_Self = TypeVar("_Self", bound="DecodeImages")

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM")
"""The formats that are decoded; PIL knows others, whose decoders fewer people have looked at."""

_PLAIN = {"1", "L", "LA", "RGB", "RGBA", "I", "I;16", "F", "CMYK", "YCbCr", "LAB", "HSV"}
"""Modes whose values are colours."""

_STRUCTURE = {"bytes", "path"}
"""The fields of a structure that holds an image, as Hugging Face's datasets have it."""


@register
@dataclass(frozen=True, kw_only=True)
class DecodeImages(Transform):
    r"""Encoded images (PNG, JPEG, WebP, GIF, BMP, TIFF, PPM) as arrays of their pixels, which are never rescaled.

    An image is `bytes`, a structure `{"bytes": ..., "path": ...}` as Hugging Face's datasets have it, or a PIL image. A
    column of them (binary, or of such structures, in Arrow) becomes an array where all images have one shape, else a
    list of arrays. Of images of several frames the first is taken; orientation marks are not looked at.

    Args:
        keys: paths of the images; `None` for all bytes, structures and PIL images in the data.
        layout: axis order of the result, `"CHW"` or `"HWC"`; an image of grey levels has one channel.
        mode: PIL's mode to convert to, such as `"RGB"` or `"L"`; `None` for that of the file, where the colours of a
            palette become RGB, or RGBA where some are transparent.
        kind: `"torch"` tensors or `"numpy"` arrays.
        max_pixels: most pixels of an image; its header says how many there are.
        root: folder beneath which files lie that structures name by `path`; `None` refuses these. For code alone: a
            configuration does not say it.

    Raises:
        DataError: bytes that are not such an image, or a damaged or too large one, or a path without `root`.
        MissingDependency: pillow is not installed.

    >>> import io
    >>> from PIL import Image
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (4, 2)).save(file, "PNG")
    >>> DecodeImages(keys="image")({"image": {"bytes": file.getvalue(), "path": None}, "label": 3})["image"].shape
    torch.Size([3, 2, 4])
    """

    keys: str | Sequence[str] | None = None
    layout: Layout = "CHW"
    mode: ImageMode | None = None
    kind: DecodedKind = "torch"
    max_pixels: Length = 1 << 26
    root: str | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "keys", parse_keys(self.keys))
        except ValueError as error:
            raise ConfigError(str(error), field="keys") from None
        parse_word(self.layout, Layout, field="layout")
        parse_word(self.kind, DecodedKind, field="kind")
        if self.mode is not None:
            parse_word(self.mode, ImageMode, field="mode")
        if type(self.max_pixels) is not int or self.max_pixels < 1:
            raise ConfigError(f"max_pixels must be a number of at least 1, got {self.max_pixels!r}", field="max_pixels")

    def to_config(self) -> dict[str, Any]:
        """This transform as plain values.

        Raises:
            ConfigError: it has a `root`.
        """
        if self.root is not None:
            raise ConfigError("DecodeImages: root is given by code, not by a configuration; leave it out", field="root")
        return super().to_config()

    @classmethod
    def from_fields(cls: type[_Self], raw: Mapping[str, Any]) -> _Self:
        """The transform with these configuration values as fields; a `root` is refused."""
        if raw.get("root") is not None:
            raise ConfigError("DecodeImages: root is given by code, not by a configuration; leave it out", field="root")
        return super().from_fields(raw)

    def __call__(self, data: Any, /, *more: Any) -> Any:
        """The data with arrays in the place of images."""
        data = open_tables((data, *more) if more else data)
        recipe, leaves = compile_recipe(data, _is_image, self.keys)
        if not leaves:
            raise NoRoute("unknown", "DecodeImages found no image in the data", "pass bytes, structures or PIL images")
        values = []
        for place, leaf in zip(recipe.places, leaves, strict=True):
            try:
                values.append(self._column(leaf) if _is_column(leaf) else self._array(leaf))
            except Exception as error:
                locate(error, place, None)
                raise
        return recipe.put(data, values)

    def _array(self, image: Any) -> Any:
        return self._convert(self._decoded(image))

    @cached_property
    def _convert(self) -> Any:
        return partial(to_tensor if self.kind == "torch" else to_numpy, layout=self.layout)

    def _column(self, column: Any) -> Any:
        arrays = []
        for number, image in enumerate(column.to_pylist()):
            try:
                arrays.append(self._array(image))
            except BridgeflowError as error:
                raise at_place(error, f"$[{number}]") from error.__cause__
        if len({array.shape for array in arrays}) != 1:
            return arrays
        return require("torch", needed_for="DecodeImages").stack(arrays) if self.kind == "torch" else np.stack(arrays)

    def _decoded(self, image: Any) -> Any:
        """The image of PIL, its pixels decoded, in a mode whose values are colours."""
        opened = self._opened(image)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of metadata that is damaged
                opened.load()
                mode = self._mode(opened)
                return opened if opened.mode == mode else opened.convert(mode)
        except (OSError, SyntaxError, ValueError, EOFError) as error:
            raise DataError(f"the image is damaged ({error}); write it again") from error

    def _mode(self, opened: Any) -> str:
        if self.mode is not None:
            return self.mode
        if opened.mode in _PLAIN:
            return str(opened.mode)
        if opened.mode.startswith("I;16"):
            return "I"
        return "RGBA" if opened.mode in ("PA", "RGBa") or "transparency" in opened.info else "RGB"

    def _opened(self, image: Any) -> Any:
        """The image of PIL, of which the header has been read."""
        if kind_of(image) == "pil":
            return image
        pil = require("PIL.Image", needed_for="DecodeImages")
        data = self._bytes(image)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of its size, which is looked at below
                opened = pil.open(BytesIO(data), formats=_FORMATS)
        except pil.DecompressionBombError as error:
            raise DataError(f"the image is larger than pillow opens ({error}); leave it out") from error
        except Exception as error:  # of PIL: whatever its decoders raise
            begin = bytes(data[:8])
            raise DataError(
                f"{len(data):,} bytes that begin with {begin!r} are not an image that is decoded"
            ) from error
        if opened.width * opened.height > self.max_pixels:
            pixels = f"{opened.width:,} x {opened.height:,} pixels"
            raise DataError(f"the image has {pixels}, and max_pixels={self.max_pixels:,}; raise it, or leave it out")
        return opened

    def _bytes(self, image: Any) -> Any:
        if not isinstance(image, Mapping):
            if image is None:
                raise DataError("the image is missing (null); leave such rows out")
            return image
        if image.get("bytes") is not None:
            return image["bytes"]
        if image.get("path") is None:
            raise DataError("the image has neither bytes nor a path; leave such rows out")
        if self.root is None:
            raise DataError(f"the image is a file, {image['path']!r}; give root=, or put its bytes into the column")
        with open(open_regular(Path(self.root) / image["path"], roots=(Path(self.root),)), "rb") as file:
            return file.read()

    def plan(self, data: Any, stage: StageId | None = None) -> Plan:
        """A copy for each image, of which the header is read; nothing is known of columns."""
        label = stage or StageId.of(self)
        recipe, leaves = compile_recipe(data, lambda leaf: _is_image(leaf) or _is_pil(leaf), self.keys)
        steps: list[Exchange] = []
        results = []
        for place, leaf in zip(recipe.places, leaves, strict=True):
            if _is_spec_of_column(leaf):
                opaque = Opaque(stage=label, detail="sizes of images are known when they are decoded")
                return Plan((opaque,), UNKNOWN, (self.stream_obstacle,))
            try:
                exchange = self._exchange(leaf)
            except Exception as error:
                locate(error, place, stage)
                raise
            steps.append(Exchange(**{**vars(exchange), "place": place, "stage": label}))
            results.append(exchange.target)
        return Plan(tuple(steps), recipe.put(data, results), (self.stream_obstacle,))

    def _exchange(self, image: Any) -> Exchange:
        """What becomes of one image: bytes, a structure, or the spec of a PIL image."""
        target: Any = "torch" if self.kind == "torch" else "numpy"
        if is_spec(image):
            pil = require("PIL.Image", needed_for="DecodeImages")
            height, width, _ = image.shape
            mode = self.mode or ("RGB" if image.dtype.startswith("mode ") else None)
            spec = image if mode is None else describe(pil.new(mode, (1, 1))).fresh(writable=False)
            spec = spec.fresh(shape=(height, width, spec.shape[-1]), writable=False)
        else:
            pil = require("PIL.Image", needed_for="DecodeImages")
            opened = self._opened(image)
            spec = describe(pil.new(self._mode(opened), (1, 1)))
            spec = spec.fresh(shape=(opened.height, opened.width, spec.shape[-1]), writable=False)
        return route(spec, target, layout=self.layout).exchange()

    @property
    def stream_obstacle(self) -> str:
        """Images are not signals."""
        return "DecodeImages decodes whole images, which have no chunks"


def _is_image(leaf: object) -> bool:
    if isinstance(leaf, (bytes, bytearray, memoryview)):
        return True
    if isinstance(leaf, Mapping):
        return bool(leaf) and set(leaf) <= _STRUCTURE
    return kind_of(leaf) == "pil" or _is_column(leaf)


def _is_pil(leaf: object) -> bool:
    return is_spec(leaf) and (leaf.kind == "pil" or _is_spec_of_column(leaf))  # type: ignore[attr-defined]


def _is_spec_of_column(leaf: Any) -> bool:
    return (
        is_spec(leaf) and leaf.kind in ("arrow", "capsule") and leaf.dtype.startswith(("binary", "large_binary", "str"))
    )


def _is_column(leaf: object) -> bool:
    """Whether an Arrow column holds images: bytes, or structures of bytes and path."""
    arrow = loaded("pyarrow")
    if arrow is None or not isinstance(leaf, (arrow.Array, arrow.ChunkedArray)):
        return False
    kind, types = leaf.type, arrow.types
    if types.is_struct(kind):
        names = {kind.field(number).name for number in range(kind.num_fields)}
        return bool(names) and names <= _STRUCTURE
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind))
