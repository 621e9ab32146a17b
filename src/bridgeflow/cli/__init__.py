"""The command line: thin. Each command says what it does, what went wrong in one line, and an exit code."""

import lazy_loader as _lazy

__getattr__, __dir__, __all__ = _lazy.attach_stub(__name__, __file__)
