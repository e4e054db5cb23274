"""The generated world as a dataset: no files, every picture is drawn when it is asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset

from xdet.registry import DATASETS, TRANSFORMS
from xdet.structures import Vocabulary

from .description import COLOURS, MATERIALS, SHAPES, STUFF, VOCABULARY, Scene
from .render import render_scene
from .sampling import sample_scene, split_vocabulary

_ATTRIBUTE_NAMES = dict(
    material={material: f'{material} object' for material in MATERIALS},
    shape={shape: shape for shape in SHAPES},
    colour={colour: f'{colour} object' for colour in COLOURS},
)


@DATASETS.register_module()
class ScenesDataset(BaseDataset):
    """Coloured shapes on drawn backgrounds, with exact panoptic ground truth (``docs/scenes.md``).

    The pipeline must begin with :class:`RenderScene`. Two datasets with the same split and seed agree in the scenes
    they have in common; datasets of different splits never share a scene.

    Args:
        num_scenes (int): Number of scenes.
        split (str): One of :data:`~xdet.scenes.sampling.SPLITS`; some have a class list of their own.
        seed (int): Which world.
        start (int): Position of the first scene.
        pipeline (list): Transforms.
        **kwargs: For :class:`mmengine.dataset.BaseDataset`.
    """

    METAINFO = dict(
        classes=VOCABULARY.names,
        thing_classes=VOCABULARY.things,
        stuff_classes=STUFF,
        vocabulary=VOCABULARY,
    )

    def __init__(
        self,
        num_scenes: int,
        split: str = 'train',
        seed: int = 0,
        start: int = 0,
        pipeline: list | tuple = (),
        **kwargs: Any,
    ) -> None:
        if num_scenes < 1:
            raise ValueError(f'num_scenes is {num_scenes}; a dataset needs at least one scene')
        self.num_scenes, self.split, self.seed, self.start = num_scenes, split, seed, start
        sample_scene(split, seed, start + num_scenes - 1)  # refuses values out of range now rather than in a worker
        self.vocabulary = split_vocabulary(split)
        names = dict(
            classes=self.vocabulary.names,
            thing_classes=self.vocabulary.things,
            stuff_classes=self.vocabulary.stuff,
            vocabulary=self.vocabulary,
        )
        super().__init__(
            serialize_data=False,
            pipeline=list(pipeline),
            metainfo={**names, **(kwargs.pop('metainfo', None) or {})},
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """One entry per scene: where it comes from."""
        return [
            dict(
                img_id=index,
                img_path=scene_file_name(self.split, self.seed, index),
                scene=(self.split, self.seed, index),
            )
            for index in range(self.start, self.start + self.num_scenes)
        ]

    def get_data_info(self, idx: int) -> dict:
        """Entry ``idx`` with the vocabulary."""
        return dict(super().get_data_info(idx), vocabulary=self.vocabulary)


@TRANSFORMS.register_module()
class RenderScene(BaseTransform):
    """Invent and draw the scene that a :class:`ScenesDataset` names.

    Required keys: ``scene``: split, seed and index.

    Added keys: ``img`` uint8 ``[size, size, 3]`` BGR, ``img_shape`` and ``ori_shape`` ``(size, size)``,
    ``gt_seg_map`` uint8 ``[size, size]`` where value i + 1 is ``segments_info[i]`` and 0 is void, ``seg_fields``,
    ``segments_info``, and ``scene_description`` (:class:`~xdet.scenes.description.Scene`).

    Args:
        size (int): Side of the square picture in pixels.
    """

    def __init__(self, size: int = 128) -> None:
        self.size = size

    def transform(self, results: dict) -> dict:
        """Draw; see the class documentation."""
        scene = sample_scene(*results['scene'])
        rendered = render_scene(scene, self.size)
        results['img'] = rendered.image
        results['img_shape'] = results['ori_shape'] = (self.size, self.size)
        results['gt_seg_map'] = rendered.segment_map
        results['segments_info'] = segments_of_split(rendered.segments_info, results['scene'][0])
        results['seg_fields'] = ['gt_seg_map']
        results['scene_description'] = scene
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(size={self.size})'


@TRANSFORMS.register_module()
class NameThingsByAttribute(BaseTransform):
    """In some scenes, call things by one attribute: ``'striped object'``, ``'circle'`` or ``'red object'``.

    A training step after :class:`RenderScene`. Which class lists there are decides what queries tell apart: classes
    named by colour and shape alone teach them to ignore patterns. Backgrounds keep their names.

    Changed keys: ``vocabulary`` and the labels of ``segments_info``.

    Args:
        shares (dict[str, float]): Share of scenes whose things are called by ``material``, ``shape`` or ``colour``.

    Raises:
        ValueError: Unknown attribute, or shares out of range.
    """

    def __init__(self, shares: dict[str, float]) -> None:
        unknown = sorted(set(shares) - set(_ATTRIBUTE_NAMES))
        if unknown or min(shares.values(), default=0) < 0 or sum(shares.values()) > 1:
            raise ValueError(
                f'shares is {shares}; accepted are shares of {", ".join(_ATTRIBUTE_NAMES)} that add up to at most 1'
            )
        self.shares = dict(shares)

    def transform(self, results: dict) -> dict:
        """Rename; see the class documentation. Draws from NumPy's global generator."""
        drawn = np.random.random_sample()
        for attribute, share in self.shares.items():
            if drawn < share:
                return self._rename(results, attribute)
            drawn -= share
        return results

    @staticmethod
    def _rename(results: dict, attribute: str) -> dict:
        scene: Scene = results['scene_description']
        things, old = _ATTRIBUTE_NAMES[attribute], results['vocabulary']
        names = (*things.values(), *old.stuff)
        kept = [old.names[info['label']] for info in results['segments_info'][: len(scene.regions)]]
        called = [*kept, *(things[getattr(item, attribute)] for item in scene.objects)]
        results['vocabulary'] = Vocabulary(names, tuple(name not in old.stuff for name in names))
        results['segments_info'] = [
            {**info, 'label': names.index(name)} for info, name in zip(results['segments_info'], called, strict=True)
        ]
        return results


def segments_of_split(segments_info: list[dict], split: str) -> list[dict]:
    """``segments_info`` with labels of the split's own class list instead of ``VOCABULARY``."""
    names = split_vocabulary(split).names
    if len(names) == len(VOCABULARY):
        return segments_info  # the same classes in the same order, perhaps in other words
    return [{**info, 'label': names.index(VOCABULARY.names[info['label']])} for info in segments_info]


def scene_file_name(split: str, seed: int, index: int) -> str:
    """Name under which a scene's picture is stored."""
    return f'{split}_{seed}_{index:08d}.png'
