"""Pipelines as transformers of scikit-learn, with their stages' fields as parameters to search over.

`PipelineTransformer` is `TransformerMethods` over scikit-learn's classes, made when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import TYPE_CHECKING, Any

from bridgeflow._optional import require
from bridgeflow.bridge import to_numpy
from bridgeflow.errors import ConfigError, StageId, nearest, quoted
from bridgeflow.pipeline.batches import SampleSet
from bridgeflow.pipeline.compose import Compose
from bridgeflow.pipeline.fitting import FitStandardize
from bridgeflow.pipeline.segments import PartialBatch, SegmentedTransform
from bridgeflow.randomness import Generators
from bridgeflow.transforms.base import Transform

__all__ = ["PipelineTransformer", "TransformerMethods", "as_transformer"]


def as_transformer(pipeline: Any, *, flatten: bool = True) -> Any:
    """A transformer of scikit-learn that runs a pipeline over the rows of `X`, `[samples, time]` or
    `[samples, channels, time]`.

    Fields of stages are parameters, by the lower-case name of the stage's class as in `make_pipeline`:
    `signalfilter__order`; of several stages of one class `signalfilter-1__order`, `signalfilter-2__order`.

    Args:
        pipeline: a transform, a `Compose`, or a list of stages, among which `FitStandardize` may stand: it is fitted
            in `fit`, to the rows after the stages before it. Stages take plain arrays, so they have no `keys`.
        flatten: give results of more than two axes as `[samples, features]`, which other estimators need.

    Returns:
        A `PipelineTransformer`. Augmentations do not run.

    Raises:
        TypeError: not a pipeline, or with a stage that is not one.
        MissingDependency: scikit-learn is not installed.

    Example:
        >>> import numpy as np
        >>> import sklearn.base
        >>> from bridgeflow import SignalFilter
        >>> low = as_transformer(SignalFilter(design="butter", order=4, cutoff=20.0, fs=100.0))
        >>> low.fit_transform(np.ones((3, 2, 50))).shape
        (3, 100)
        >>> sklearn.base.clone(low).set_params(signalfilter__order=2).get_params()["signalfilter__order"]
        2
    """
    _stages_of(pipeline)
    return _class()(pipeline, flatten)


class TransformerMethods:
    """A pipeline over the rows of `X`; see `as_transformer`.

    Args:
        pipeline: a transform, a `Compose`, or a list of stages.
        flatten: give results of more than two axes as `[samples, features]`.

    Attributes:
        pipeline_: the pipeline that `fit` made, whose stages are all fitted.
        n_features_in_: the length of the second axis of `X`.
    """

    def __init__(self, pipeline: Any, flatten: bool = True) -> None:
        self.pipeline = pipeline
        self.flatten = flatten

    def fit(self, X: Any, y: Any = None) -> Any:
        """Fit the stages that are to be fitted, to the rows of `X`; the parameter `pipeline` stays as it is.

        Args:
            X: numbers, `[samples, time]` or `[samples, channels, time]`.
            y: not looked at.
        """
        rows = self._checked(X, reset=True)
        stages: list[Any] = []
        every = [one for one in map(_evaluated, _stages_of(self.pipeline)) if one is not None]
        last = max((number for number, one in enumerate(every) if isinstance(one, FitStandardize)), default=-1)
        for number, one in enumerate(every):
            fitted = one.fit(list(rows)) if isinstance(one, FitStandardize) else one
            stages.append(fitted)
            if number < last:
                rows = _run([fitted], rows)
        self.pipeline_ = Compose(stages)
        first = self._shaped(_run(stages, self._checked(X, reset=False)[:1]))
        self._n_features_out = first.shape[1] if first.ndim > 1 else 1
        return self

    def transform(self, X: Any) -> Any:
        """The rows after the pipeline, an ndarray; its element type is what the stages make of that of `X`."""
        require("sklearn.utils.validation", needed_for="as_transformer").check_is_fitted(self, "pipeline_")
        return self._shaped(_run(self.pipeline_.stages, self._checked(X, reset=False)))

    def _checked(self, X: Any, *, reset: bool) -> Any:
        validate = require("sklearn.utils.validation", needed_for="as_transformer").validate_data
        return validate(self, X, reset=reset, dtype="numeric", allow_nd=True)

    def _shaped(self, rows: Any) -> Any:
        return rows.reshape(len(rows), -1) if self.flatten and rows.ndim > 2 else rows

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The parameters: `pipeline`, `flatten`, and where `deep` each stage and its fields."""
        params = {"pipeline": self.pipeline, "flatten": self.flatten}
        if deep:
            for name, stage in _named(self.pipeline).items():
                params[name] = stage
                params |= {f"{name}__{field}": getattr(stage, field) for field in _fields(stage)}
        return params

    def set_params(self, **params: Any) -> Any:
        """Set parameters by the names that `get_params` gives.

        Raises:
            ValueError: there is no such parameter, or the stage refuses the value.
        """
        for name in ("pipeline", "flatten"):
            if name in params:
                setattr(self, name, params.pop(name))
        stages = _named(self.pipeline)
        changes: dict[str, dict[str, Any]] = {}
        for name, value in params.items():
            stage, _, field = name.partition("__")
            if stage not in stages or (field and field not in _fields(stages[stage])):
                raise ConfigError(f"set_params: no parameter {quoted(name)}; {nearest(name, self.get_params())}")
            if field:
                changes.setdefault(stage, {})[field] = value
            else:
                stages[stage] = value
        for name, fields_of_stage in changes.items():
            stages[name] = replace(stages[name], **fields_of_stage)
        if params:
            self.pipeline = _like(self.pipeline, list(stages.values()))
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def _run(stages: Sequence[Any], rows: Any) -> Any:
    """The rows after stages of which each sees one row, on all rows at once where that is the same."""
    labelled = tuple((StageId.of(one, number), one) for number, one in enumerate(stages, 1))
    batch = PartialBatch(SampleSet(rows, len(rows)), Generators(0, 0, range(len(rows)), batched=True), as_samples=False)
    return to_numpy(SegmentedTransform(labelled, "X").run_rest(batch, None).batch("error"))


def _stages_of(pipeline: Any) -> list[Any]:
    """The stages of a pipeline.

    Raises:
        TypeError: it is none.
    """
    stages = pipeline.stages if isinstance(pipeline, Compose) else pipeline
    listed = list(stages) if isinstance(stages, (list, tuple)) else [stages]
    for one in listed:
        if not _is_stage(one):
            raise TypeError(f"as_transformer: expected transforms, a Compose or a list of them, got {one!r:.80}")
    return listed


def _is_stage(one: object) -> bool:
    return not isinstance(one, type) and (callable(one) or isinstance(one, FitStandardize))


def _like(pipeline: Any, stages: list[Any]) -> Any:
    """Stages in the place of those of a pipeline."""
    if isinstance(pipeline, Compose):
        return Compose(stages)
    return type(pipeline)(stages) if isinstance(pipeline, (list, tuple)) else stages[0]


def _named(pipeline: Any) -> dict[str, Any]:
    """The stages by name, as scikit-learn's `make_pipeline` names steps."""
    try:
        stages = _stages_of(pipeline)
    except TypeError:  # said when it is fitted, as scikit-learn has it
        return {}
    names = [type(one).__name__.lower() for one in stages]
    numbered: dict[str, Any] = {}
    for place, (name, stage) in enumerate(zip(names, stages, strict=True)):
        number = f"-{names[: place + 1].count(name)}" if names.count(name) > 1 else ""
        numbered[f"{name}{number}"] = stage
    return numbered


def _fields(stage: Any) -> list[str]:
    """The names of the fields that a stage can be made anew with."""
    if not is_dataclass(stage) or isinstance(stage, Compose):
        return []
    return [field.name for field in fields(stage) if field.init]


def _evaluated(stage: Any) -> Any:
    """A stage as it is in evaluation; `None` for an augmentation."""
    return stage.eval() if isinstance(stage, Transform) else stage


def _class() -> Any:
    found = globals().get("PipelineTransformer")
    return _made() if found is None else found


def _made() -> type:
    """`TransformerMethods` over scikit-learn's classes."""
    base = require("sklearn.base", needed_for="as_transformer")
    bases = (TransformerMethods, base.ClassNamePrefixFeaturesOutMixin, base.TransformerMixin, base.BaseEstimator)
    body: Mapping[str, Any] = {
        "__module__": __name__,
        "__doc__": TransformerMethods.__doc__,
        "transform": TransformerMethods.transform,  # where `set_output` looks for it
    }
    made = globals()["PipelineTransformer"] = type("PipelineTransformer", bases, dict(body))
    return made


if TYPE_CHECKING:
    PipelineTransformer = TransformerMethods
else:

    def __getattr__(name: str) -> Any:
        if name != "PipelineTransformer":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return _made()
