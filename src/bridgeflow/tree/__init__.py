"""Nested data: which leaves it has, where they are, and how to put new ones in their place.

Containers are dicts and other mappings, lists, tuples, namedtuples, dataclass instances, TensorDicts, and Arrow tables
(whose columns are the children). Everything else is a leaf: instances of attrs classes and of pydantic models too, and
what the caller's `is_array` selects, be it a list or a dataclass. This package never looks at a leaf: `is_array` says
which leaves count, so nothing here knows of NumPy or torch.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
