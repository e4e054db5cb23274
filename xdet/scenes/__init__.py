"""The generated world: scenes, their images, and all that can be said about them."""

from .dataset import NameThingsByAttribute, RenderScene, ScenesDataset
from .texts import DescribeScene

__all__ = ['DescribeScene', 'NameThingsByAttribute', 'RenderScene', 'ScenesDataset']
