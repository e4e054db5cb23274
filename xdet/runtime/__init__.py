"""Runs exported models (:mod:`xdet.export`) with numpy, Pillow and onnxruntime; torch and MMEngine are not needed."""

from xdet.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        'inferencer': 'OnnxInferencer',
        'model': 'ExportedModel ExportError',
    },
)
