"""Pipelines: transforms in sequence, and what is built on them.

What reads files or starts processes is loaded when it is first used, as everything here is.
"""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
