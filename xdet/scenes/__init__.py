"""The generated world: scenes, their images, and all that can be said about them."""

from xdet.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        'depth': 'RenderDepth scene_depth',
        'dataset': 'NameThingsByAttribute RenderScene ScenesDataset',
        'texts': 'DescribeScene',
    },
)
