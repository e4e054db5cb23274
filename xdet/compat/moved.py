"""Modules that moved can still be imported by their old names, with a warning, until version 0.3."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

# Old package -> new package -> modules: a word is a name that stayed, ``old=new`` one that changed.
_MOVES = {
    'apis': {
        '': 'editing model_zoo',
        'inference': 'inferencer pipeline',
        'inference.inputs': 'images prompts regions options requests',
        'inference.outputs': 'results reporting writer ranking',
        'tasks': 'segment_results=segmentation_format text_results=captioning_format',
        'cli': 'launch',
        'retrieval': 'retrieval=index retrieval_store=store embedding collection region_search=regions',
        'benchmarks': 'benchmarks=fragments suite suite_records=records suite_table=table',
    },
    'datasets': {
        'datasets.sets': 'base cityscapes coco_instance coco_joint coco_panoptic image_label_folder image_label_list '
        'image_text phrasecut refcoco vqa web_shards',
        'datasets.files': 'coco_json conversion image_io pair_lists panoptic_files segment_maps tar_shards',
        'datasets.order': 'samplers seeding broken',
        'datasets.transforms': 'nouns',
        'structures': 'answers',
        'scenes': 'scene_captions=captions scene_description=description scene_facts=facts scene_phrases=phrases '
        'scene_questions=questions scene_render=render scene_sampling=sampling scene_shapes=shapes scene_texts=texts '
        'scene_textures=textures scene_words=words scenes=dataset',
    },
    'datasets.exchange': {
        'datasets.exchange.formats': 'coco cvat geojson instance_pngs label_studio labelme voc yolo',
    },
    'models': {
        'models.heads': 'click_head=click clicker depth_head=depth keypoint_head=keypoints prompted',
        'models.numerics': 'convolutions freezing precision resizing',
    },
    'models.losses': {
        'models.losses.criteria': 'answers boxes captioning clicks contrastive depth distillation grounding keypoints '
        'nouns segmentation',
        'models.losses.matching': 'matcher points masks',
    },
    'evaluation': {
        'evaluation.captions': 'caption_scores=scores caption_tokens=tokens captioning=metrics '
        'region_captioning=regions',
    },
    'inference': {
        'inference.names': 'calibration examples known_words prompt_report tuning',
        'inference.tiling': 'inputs.windows=windows',
    },
    'cli': {
        'cli.commands': 'calibrate completion convert data edit examples info label_studio models page predict prompts '
        'retrieval scripts serve suite test train tune video',
    },
    'structures': {
        'structures.masks': 'map_masks=maps mask_boxes=boxes mask_codes=codes',
    },
    'engine': {
        'cli': 'errors overrides',
        'engine.parallel': 'dist sharding',
        'engine.testing': 'resumable_test result_files',
        'engine.optim': 'lora trainable optim_constructor schedules mixed_precision',
    },
}


def _table() -> dict[str, str]:
    table = {}
    for old, targets in _MOVES.items():
        for new, words in targets.items():
            for word in words.split():
                before, _, after = word.partition('=')
                table[f'xdet.{old}.{before}'] = '.'.join(part for part in ('xdet', new, after or before) if part)
    return table


MOVED = _table()
"""New full name of every module by its old one."""


class _Alias(Loader):
    """Hands out the moved module itself, so that both names are one module."""

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        module = import_module(MOVED[spec.name])
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self._spec


class _Finder(MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name not in MOVED:
            return None
        warnings.warn(f'{name} is now {MOVED[name]}', DeprecationWarning, stacklevel=2)
        return ModuleSpec(name, _Alias())


def install_moved_modules() -> None:
    """Make old names importable; safe to call more than once."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())
