"""X-Decoder and its parts, imported when asked for; :data:`xdet.registry.MODELS` knows where all of them are."""

from xdet.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        'backbones': 'DaViT FocalNet',
        'data_preprocessor': 'XDecoderDataPreprocessor',
        'decoder': 'XDecoderTransformerDecoder',
        'losses': 'SegmentationLoss',
        'clip_ensemble': 'ClipEnsemble',
        'pixel_names': 'PixelNames',
        'pixel_decoders': 'DeformablePixelDecoder FPNTransformerPixelDecoder',
        'text': 'OpenCLIPTextEncoder VocabularyEmbedder XDecoderTextEncoder',
        'xdecoder': 'XDecoder',
    },
)
