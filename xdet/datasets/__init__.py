"""Data sets, transforms, samplers and class lists, imported when they are asked for."""

from importlib import import_module

from xdet.lazy import lazy_exports

_lazy, __dir__, __all__ = lazy_exports(
    __name__,
    {
        'files.image_io': 'ImageReadError as_bgr decode_image read_image',
        'order.samplers': 'ResumableSampler ShardSampler',
        'order.seeding': 'Draw SeededDataset seeded_rng',
        'sets': 'CityscapesPanopticDataset CocoInstanceSegDataset CocoJointDataset CocoPanopticSegDataset '
        'ImageLabelFolderDataset ImageLabelListDataset ImageTextDataset PhraseCutDataset QuestionListDataset '
        'RefCocoDataset SegmentationDataset VQADataset WebShardsDataset',
    },
)


def __getattr__(name: str):
    """Also the generated world's classes, which lived here before version 0.2, and the packages of this room."""
    if name in ('DescribeScene', 'NameThingsByAttribute', 'RenderScene', 'ScenesDataset'):
        return getattr(import_module('xdet.scenes'), name)
    if name in ('transforms', 'vocab'):
        return import_module(f'{__name__}.{name}')
    return _lazy(name)
