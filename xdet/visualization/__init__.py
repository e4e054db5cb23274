"""Images of samples and results, drawn by what is imported when it is asked for."""

from xdet.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        'local_visualizer': 'XDetLocalVisualizer',
        'palette': 'class_colors',
        'sheets': 'below beside ranking_sheet thumbnail',
        'text_strip': 'TextLine add_text_strip',
    },
)
