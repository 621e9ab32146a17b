"""A `LightningDataModule` of a pipeline file, or of datasets: checkpoints hold where an epoch stands.

`DataModule` is `DataModuleMethods` over the `LightningDataModule` of `lightning` (or of `pytorch_lightning`, where that
alone is loaded), made when it is first asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, Final

from bridgeflow._optional import loaded, require
from bridgeflow.config import load_pipeline
from bridgeflow.errors import DataError, listed
from bridgeflow.pipeline.dataset import SignalDataset
from bridgeflow.pipeline.loader import Loader
from bridgeflow.pipeline.training import TrainingPipeline
from bridgeflow.transforms.base import Transform

__all__ = ["DataModule", "DataModuleMethods"]

TRAIN: Final = "train"

_NAMES: Final = {"val": ("val", "valid", "validation"), "test": ("test",), "predict": ("predict",)}
"""What the parts that a hook of Lightning's reads may be called in a pipeline file."""

_OF_TRAINING: Final = ("shuffle", "sampler", "drop_last", "window")
"""Options of loaders that the other parts do without."""


class DataModuleMethods:
    """Loaders for each part of the data; augmentations run in training alone.

    In a process group every rank reads its share. A checkpoint, also one in the middle of an epoch or after an error,
    holds where the epoch of training stands: resumed from it, the trainer sees the batches that it would have seen,
    with as many workers as it now has.

    Args:
        train, val, test, predict: the datasets; what is left out is not there. Of all but `train` the transform is
            taken without its augmentations.
        batch_size: rows in a batch, of each rank.
        shuffle: of training; as for `Loader`.
        options: the other arguments of `Loader`; `sampler`, `drop_last` and `window` are of training alone.

    Raises:
        ValueError: no dataset.

    A file says all of it: `DataModule.from_yaml("train_ecg.yaml")`.
    """

    trainer: Any

    def __init__(
        self,
        *,
        train: SignalDataset | None = None,
        val: SignalDataset | None = None,
        test: SignalDataset | None = None,
        predict: SignalDataset | None = None,
        batch_size: int = 32,
        shuffle: Any = True,
        **options: Any,
    ) -> None:
        super().__init__()
        given = {TRAIN: train, "val": val, "test": test, "predict": predict}
        datasets = {part: dataset for part, dataset in given.items() if dataset is not None}
        if not datasets:
            raise ValueError("DataModule: expected a dataset for train, val, test or predict, got none")
        own = {"batch_size": batch_size, "shuffle": shuffle, **options}
        others = {name: value for name, value in own.items() if name not in _OF_TRAINING}
        self._begin(
            {part: part for part in datasets},
            lambda part: datasets[part] if part == TRAIN else _without_augmentation(datasets[part]),
            lambda part: own if part == TRAIN else others,
        )

    @classmethod
    def from_yaml(
        cls, path: str | os.PathLike[str], *, options: Mapping[str, Any] | None = None, **reading: Any
    ) -> Any:
        """The module of a pipeline file (`bridgeflow.load_pipeline`): its parts `train`, `val`, `test`, `predict`.

        Args:
            path: the file.
            options: arguments of `Loader` that take the place of the file's.
            reading: the other arguments of `load_pipeline`, such as `overrides`.

        Raises:
            ConfigError, DataError: as for `load_pipeline`.
        """
        return cls.from_pipeline(load_pipeline(path, **reading), **(options or {}))

    @classmethod
    def from_pipeline(cls, pipeline: TrainingPipeline, **options: Any) -> Any:
        """The module of what `load_pipeline` read; `options` take the place of the file's.

        Raises:
            DataError: the pipeline has no part that Lightning reads.
        """
        parts = {TRAIN: TRAIN} if TRAIN in pipeline.parts else {}
        for hook, names in _NAMES.items():
            parts.update((hook, name) for name in names if name in pipeline.parts)
        if not parts:
            raise DataError(f"DataModule: expected a part train, val, test or predict, got {listed(pipeline.parts)}")
        others = {name: value for name, value in options.items() if name not in _OF_TRAINING}
        module = cls.__new__(cls)
        super(DataModuleMethods, module).__init__()
        module._begin(
            parts,
            lambda part: pipeline.datasets[part],
            lambda part: {**pipeline.loader_options(part), **(options if part == TRAIN else others)},
        )
        return module

    def _begin(
        self,
        parts: Mapping[str, str],
        dataset: Callable[[str], SignalDataset],
        options: Callable[[str], Mapping[str, Any]],
    ) -> None:
        self._parts = parts
        self._dataset, self._options = dataset, options
        self._loaders: dict[str, Loader] = {}
        self._state: Mapping[str, Any] | None = None

    # --- what a Trainer asks for ---

    def train_dataloader(self) -> Any:
        """The loader of the training part, the same one each time."""
        return self._loader(TRAIN)

    def val_dataloader(self) -> Any:
        """The loader of the validation part; none where there is no such part."""
        return self._loader("val")

    def test_dataloader(self) -> Any:
        """The loader of the test part; none where there is no such part."""
        return self._loader("test")

    def predict_dataloader(self) -> Any:
        """The loader of the part to predict; none where there is no such part."""
        return self._loader("predict")

    def state_dict(self) -> dict[str, Any]:
        """Where training stands, for a checkpoint."""
        loader = self._loaders.get(TRAIN)
        return {} if loader is None else {TRAIN: loader.state_dict()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Let training go on where the state was taken.

        Raises:
            DataError: (when the loader is made) the state is of other data or another order.
        """
        self._state = state_dict.get(TRAIN)
        if TRAIN in self._loaders:
            self._restore(self._loaders[TRAIN])

    def teardown(self, stage: str) -> None:
        """End worker processes; another pass starts them again."""
        for loader in self._loaders.values():
            loader.close()

    def _loader(self, hook: str) -> Any:
        part = self._parts.get(hook)
        if part is None:
            return []
        if hook not in self._loaders:
            trainer = self.trainer
            share = {} if trainer is None else {"rank": trainer.global_rank, "world_size": trainer.world_size}
            options = {**self._options(part), **(share if share.get("world_size", 1) > 1 else {})}
            if hook == TRAIN:
                loader: Loader = _TrainingLoader(self._dataset(part), lambda: self.trainer, **options)
                self._restore(loader)
            else:
                loader = Loader(self._dataset(part), **options)
            self._loaders[hook] = loader
        return self._loaders[hook]

    def _restore(self, loader: Loader) -> None:
        if self._state is not None:
            loader.load_state_dict(self._state)
            self._state = None


class _TrainingLoader(Loader):
    """A loader whose state is where the trainer stands: a batch that was handed out and not trained on comes again.

    Args:
        trainer: gives the trainer; `None` for none.
    """

    def __init__(self, dataset: SignalDataset, trainer: Callable[[], Any], **options: Any) -> None:
        super().__init__(dataset, **options)
        self._trainer = trainer

    def state_dict(self) -> dict[str, Any]:
        """Where the trainer stands."""
        state = super().state_dict()
        trainer = self._trainer()
        if trainer is None or not trainer.training:
            return state
        progress = trainer.fit_loop.epoch_loop.batch_progress.current
        if progress.ready == progress.processed:
            return state
        if state["batch"]:
            state["batch"] -= 1
        elif state["epoch"]:
            state |= {"epoch": state["epoch"] - 1, "batch": len(self) - 1}
        return state if self._streamed is None else self._streamed.with_state(state)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """As for `Loader`; the state may be of another rank, since a checkpoint holds that of the first."""
        own = self._identity()
        if isinstance(state.get("of"), Mapping) and "rank" in own:
            state = {**state, "of": {**state["of"], "rank": own["rank"]}}
        super().load_state_dict(state)


def _without_augmentation(dataset: SignalDataset) -> SignalDataset:
    """The dataset with its transform as it is in evaluation."""
    transform = dataset.transform
    if not isinstance(transform, Transform) or not transform.random:
        return dataset
    plain = copy(dataset)
    plain.transform = transform.eval()
    return plain


def _made() -> type:
    """`DataModuleMethods` over Lightning's class."""
    alone = loaded("lightning") is None and loaded("pytorch_lightning") is not None
    name = "pytorch_lightning" if alone else "lightning.pytorch"
    base = require(name, needed_for="DataModule").LightningDataModule
    return type("DataModule", (DataModuleMethods, base), {"__module__": __name__, "__doc__": DataModuleMethods.__doc__})


if TYPE_CHECKING:
    DataModule = DataModuleMethods
else:

    def __getattr__(name: str) -> Any:
        if name != "DataModule":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = module = _made()
        return module
