"""Configuration: YAML from anybody to a job, or an error that says where."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
