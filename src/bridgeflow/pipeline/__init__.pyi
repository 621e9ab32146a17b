from .batches import Batch as Batch
from .batches import collate as collate
from .bucketed import Bucketed as Bucketed
from .compose import Compose as Compose
from .dataset import SignalDataset as SignalDataset
from .fitting import FitStandardize as FitStandardize
from .fitting import FittedStatistics as FittedStatistics
from .fitting import merge_statistics as merge_statistics
from .live_model import LiveModel as LiveModel
from .loader import Loader as Loader
from .mixture import Mixture as Mixture
from .onnx_export import export_onnx as export_onnx
from .randomness import generators as generators
from .randomness import seeded as seeded
from .row_sampling import Balanced as Balanced
from .row_sampling import PerGroup as PerGroup
from .row_sampling import Weighted as Weighted
from .samplers import BatchSampler as BatchSampler
from .workers import WorkerPool as WorkerPool

__all__ = [
    "Balanced",
    "Batch",
    "BatchSampler",
    "Bucketed",
    "Compose",
    "FitStandardize",
    "FittedStatistics",
    "LiveModel",
    "Loader",
    "Mixture",
    "PerGroup",
    "SignalDataset",
    "Weighted",
    "WorkerPool",
    "collate",
    "export_onnx",
    "generators",
    "merge_statistics",
    "seeded",
]
