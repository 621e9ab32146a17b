"""Configuration: YAML to a job or a pipeline, or an error with file, line and column."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
