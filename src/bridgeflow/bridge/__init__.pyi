from .api import Masked as Masked
from .api import like as like
from .api import route as route
from .api import to_arrow as to_arrow
from .api import to_numpy as to_numpy
from .api import to_tensor as to_tensor
from .dtypes import has_numpy_dtype as has_numpy_dtype
from .inputs import describe as describe
from .kinds import kind_of as kind_of
from .routes import table as table
from .rules import Route as Route
from .rules import Rule as Rule
from .shapes import shape_of as shape_of
from .shapes import strided as strided
from .shared import Shared as Shared
from .shared import share as share
from .tracing import Trace as Trace
from .tracing import trace as trace

__all__ = [
    "Masked",
    "Route",
    "Rule",
    "Shared",
    "Trace",
    "describe",
    "has_numpy_dtype",
    "kind_of",
    "like",
    "route",
    "shape_of",
    "share",
    "strided",
    "table",
    "to_arrow",
    "to_numpy",
    "to_tensor",
    "trace",
]
