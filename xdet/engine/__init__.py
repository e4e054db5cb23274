"""Training machinery, imported when it is asked for; the registries know where its components are."""

from xdet.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        'joint': 'JointDataLoader JointTrainLoop',
        'log_lines': 'XDetLogProcessor',
        'optim.mixed_precision': 'MixedPrecisionOptimWrapper',
        'optim.optim_constructor': 'XDecoderOptimWrapperConstructor',
        'testing': 'ResumableTestLoop',
    },
)
