from ._picture import publish_picture as publish_picture
from ._picture import require_matplotlib as require_matplotlib
from .filter import Curves as Curves
from .filter import draw_filter as draw_filter
from .filter import filter_curves as filter_curves
from .recording import DrawnRecording as DrawnRecording
from .recording import Envelope as Envelope
from .recording import draw_recording as draw_recording
from .recording import envelope as envelope
from .run import BeforeAfter as BeforeAfter
from .run import before_after_png as before_after_png
from .run import draw_before_after as draw_before_after

__all__ = [
    "BeforeAfter",
    "Curves",
    "DrawnRecording",
    "Envelope",
    "before_after_png",
    "draw_before_after",
    "draw_filter",
    "draw_recording",
    "envelope",
    "filter_curves",
    "publish_picture",
    "require_matplotlib",
]
