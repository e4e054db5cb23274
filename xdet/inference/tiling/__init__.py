"""Images of any size, tile by tile."""

from xdet.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__, {'cutting': 'Tiles check_tiles', 'running': 'Tiled run_tiles', 'windows': 'open_windows'}
)
