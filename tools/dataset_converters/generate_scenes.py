"""Write generated scenes as a dataset in the standard COCO panoptic layout.

    OUT/<split>/<name>.png                          pictures
    OUT/annotations/panoptic_<split>/<name>.png     segment ids as colours (R + 256 G + 65536 B)
    OUT/annotations/panoptic_<split>.json           COCO panoptic annotations, written last
    OUT/annotations/scenes_<split>.json             what each scene consists of
    OUT/annotations/captions_<split>.json           captions as in COCO, the canonical one of every picture first
    OUT/annotations/phrases_<split>.json            referring expressions: image_id, segment_id, phrase, kind
    OUT/annotations/questions_<split>.json          questions: image_id, question_id, question, answer, kind

Interrupted runs continue: pictures that are complete stay as they are.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.utils import track_iter_progress

import xdet  # noqa: F401  (makes the OpenMMLab stack importable)
from xdet.cli.parsing import Parser
from xdet.cli.places import output_folder
from xdet.cli.running import run_program
from xdet.io.writing import make_folder, write_bytes, write_json
from xdet.scenes.dataset import scene_file_name, segments_of_split
from xdet.scenes.description import Scene
from xdet.scenes.render import RenderedScene, render_scene
from xdet.scenes.sampling import SPLITS, sample_scene, split_vocabulary
from xdet.scenes.texts import scene_texts
from xdet.scenes.words import with_synonyms
from xdet.structures import Vocabulary
from xdet.structures.masks.boxes import mask_xywh


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = Parser(description='Write generated scenes in the COCO panoptic layout.')
    parser.add_argument('out', type=output_folder, help='folder to write to')
    parser.add_argument('--split', choices=SPLITS, default='val')
    parser.add_argument('--num', type=int, default=200, help='number of scenes')
    parser.add_argument('--size', type=int, default=128, help='side of the pictures in pixels')
    parser.add_argument('--seed', type=int, default=0, help='which world')
    return parser.parse_args()


def main() -> None:
    """Entry point."""
    args = parse_args()
    try:
        generate(args.out, args.split, args.num, args.size, args.seed)
    except (OSError, ValueError) as error:
        raise SystemExit(f'generate_scenes: {error}') from error


def generate(out: Path, split: str, num: int, size: int, seed: int) -> Path:
    """Write ``num`` scenes.

    Returns:
        Path: The panoptic annotation file.

    Raises:
        ValueError: An argument is out of range, or ``out`` holds this split with other settings.
    """
    if num < 1:
        raise ValueError(f'--num is {num}; at least one scene is needed')
    pictures, annotations = out / split, out / 'annotations'
    maps = annotations / f'panoptic_{split}'
    for folder in (pictures, maps):
        make_folder(folder)
    _check_settings(annotations / f'settings_{split}.json', dict(split=split, size=size, seed=seed))
    images, annotation_list, descriptions = [], [], []
    captions, phrases, questions = [], [], []
    for index in track_iter_progress(range(num)):
        name = scene_file_name(split, seed, index)
        scene = sample_scene(split, seed, index)
        rendered = render_scene(scene, size)
        _write_picture(pictures / name, rendered.image)
        _write_picture(maps / name, _as_colours(rendered.segment_map))
        images.append(dict(id=index, file_name=name, width=size, height=size))
        segments = coco_segments(rendered, split)
        annotation_list.append(dict(image_id=index, file_name=name, segments_info=segments))
        descriptions.append(dict(image_id=index, **scene.to_dict()))
        for found, texts in zip((captions, phrases, questions), describe(scene, split), strict=True):
            found.extend(dict(image_id=index, **text) for text in texts)
    write_json(annotations / f'scenes_{split}.json', descriptions)
    numbered = [dict(id=number, **caption) for number, caption in enumerate(captions)]
    write_json(annotations / f'captions_{split}.json', dict(images=images, annotations=numbered))
    write_json(annotations / f'phrases_{split}.json', phrases)
    numbered = [dict(question_id=number, **question) for number, question in enumerate(questions)]
    write_json(annotations / f'questions_{split}.json', numbered)
    target = annotations / f'panoptic_{split}.json'
    content = dict(images=images, annotations=annotation_list, categories=categories(split_vocabulary(split)))
    write_json(target, content)
    return target


def describe(scene: Scene, split: str) -> tuple[list[dict], list[dict], list[dict]]:
    """The scene's captions, referring expressions and questions for evaluation, in the words of the split."""
    say = with_synonyms if split == 'test_words' else str
    captions, phrases, questions = scene_texts(scene, split)
    return (
        [dict(caption=say(caption.text)) for caption in captions],
        [dict(segment_id=phrase.segment + 1, phrase=say(phrase.text), kind=phrase.kind) for phrase in phrases],
        [dict(question=say(item.text), answer=item.answer, kind=item.kind) for item in questions],
    )


def categories(vocabulary: Vocabulary) -> list[dict]:
    """COCO's category list of the generated world; the id of label i is i + 1."""
    return [
        dict(id=label + 1, name=name, isthing=int(thing), supercategory=name.split()[-1] if thing else 'background')
        for label, (name, thing) in enumerate(zip(vocabulary.names, vocabulary.is_thing, strict=True))
    ]


def coco_segments(rendered: RenderedScene, split: str) -> list[dict]:
    """COCO's description of the segments of one picture: boxes are x, y, width, height of the visible part."""
    segments = []
    for info in segments_of_split(rendered.segments_info, split):
        mask = rendered.segment_map == info['id']
        entry = dict(id=info['id'], category_id=info['label'] + 1, area=int(mask.sum()), bbox=mask_xywh(mask))
        segments.append(dict(entry, iscrowd=int(info['iscrowd'])))
    return segments


def _check_settings(path: Path, settings: dict[str, Any]) -> None:
    """Remember the settings of a split, or refuse to mix them with those of an earlier run."""
    if path.exists():
        earlier = json.loads(path.read_text())
        if earlier != settings:
            raise ValueError(f'{path.parent.parent} was made with {earlier}, not {settings}; choose another folder')
    else:
        write_json(path, settings)


def _as_colours(segment_map: np.ndarray) -> np.ndarray:
    """Segment ids below 256 as a BGR picture in COCO's coding."""
    colours = np.zeros((*segment_map.shape, 3), np.uint8)
    colours[..., 2] = segment_map
    return colours


def _write_picture(path: Path, image: np.ndarray) -> None:
    """Write a PNG unless it is there already; an interrupted run leaves no half a file."""
    if not path.exists():
        write_bytes(path, cv2.imencode('.png', image)[1].tobytes())


if __name__ == '__main__':
    sys.exit(run_program(main))
