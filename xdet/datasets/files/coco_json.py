"""Reads COCO annotation files with errors a user can act on."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from mmengine import fileio

from xdet.datasets.vocab import get_class_list, make_vocabulary
from xdet.structures import Vocabulary

IGNORED = -1
"""Label of annotations whose category is in the file but not among the classes asked for."""


COCO_LISTS = ('images', 'annotations', 'categories')
"""What an annotation file of segments has; others do without categories."""


def load_json(path: str, backend_args: dict | None = None) -> Any:
    """Content of a JSON file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not JSON.
    """
    try:
        text = fileio.get_text(path, backend_args=backend_args)
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(f'{path}: annotation file does not exist') from None
    except UnicodeDecodeError:
        raise ValueError(f'{path}: not valid JSON (not even text)') from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f'{path}: not valid JSON ({error})') from None


def load_coco_json(path: str, keys: Sequence[str] = COCO_LISTS) -> dict:
    """Content of a COCO annotation file with at least the lists ``keys``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not JSON, or not in COCO's form.
    """
    content = load_json(path)
    absent = [key for key in keys if not isinstance(content, dict) or not isinstance(content.get(key), list)]
    if absent:
        raise ValueError(f'{path}: not a COCO annotation file, the list(s) {", ".join(absent)} are missing')
    return content


def listed_images(path: str) -> set[int | str]:
    """Ids of the images that a COCO annotation file of any kind lists."""
    return {image['id'] for image in load_coco_json(path, keys=('images',))['images']}


def load_captions(path: str) -> dict[int | str, tuple[str, ...]]:
    """Captions per image id of a COCO captions file; white space around them is dropped.

    Raises:
        FileNotFoundError, ValueError: See :func:`load_coco_json`; or an annotation has no caption.
    """
    captions = defaultdict(list)
    for annotation in load_coco_json(path, keys=('annotations',))['annotations']:
        if not isinstance(annotation.get('caption'), str) or 'image_id' not in annotation:
            raise ValueError(f"{path}: not a captions file; an annotation has no 'caption' or no 'image_id'")
        if text := ' '.join(annotation['caption'].split()):
            captions[annotation['image_id']].append(text)
    return {image_id: tuple(texts) for image_id, texts in captions.items()}


def load_expressions(path: str, splits: Sequence[str] | None = None) -> dict[int | str, list[dict]]:
    """Referring expressions per image id.

    Args:
        path (str): COCO annotation file whose annotations have ``sentences``, a list of dicts with ``raw`` (or
            ``sent``), as the official ``grounding_*.json`` and ``refcocog_*.json`` and the result of
            ``tools/dataset_converters/refer_to_json.py`` have.
        splits (Sequence[str], optional): Keep the annotations whose ``split`` is one of these.

    Returns:
        dict: Lists of ``dict(sentences=tuple[str], mask=polygons or RLE)``.

    Raises:
        FileNotFoundError, ValueError: See :func:`load_coco_json`; or an annotation is not of that kind.
    """
    expressions = defaultdict(list)
    annotations = load_coco_json(path, keys=('annotations',))['annotations']
    for annotation in annotations:
        absent = [key for key in ('image_id', 'sentences', 'segmentation') if key not in annotation]
        if absent or (splits is not None and 'split' not in annotation):
            raise ValueError(f'{path}: not a file of referring expressions; an annotation has no {absent or "split"}')
        sentences = [sentence.get('raw') or sentence.get('sent') or '' for sentence in annotation['sentences']]
        sentences = [text for text in (' '.join(sentence.split()) for sentence in sentences) if text]
        if sentences and (splits is None or annotation['split'] in splits):
            expressions[annotation['image_id']].append(
                dict(sentences=tuple(sentences), mask=annotation['segmentation'])
            )
    if splits is not None and not expressions:
        found = sorted({annotation['split'] for annotation in annotations})
        raise ValueError(f'{path}: no expressions of {", ".join(splits)}; its splits are {", ".join(found)}')
    return dict(expressions)


def coco_classes(path: str, content: dict, classes: Sequence[str] | None) -> tuple[Vocabulary, dict[int, int]]:
    """Vocabulary of an annotation file and the label of each of its category ids.

    Without ``classes``, things come first and each group is sorted by category id, which is the official order of COCO.

    Args:
        path (str): Name of the file, for errors.
        content (dict): Result of :func:`load_coco_json`.
        classes (Sequence[str], optional): Names to use, in label order; other categories get :data:`IGNORED`.

    Returns:
        tuple[Vocabulary, dict[int, int]]: The class names, and category id -> label.

    Raises:
        ValueError: Names are repeated, or ``classes`` has a name that the file does not.
    """
    categories = sorted(content['categories'], key=lambda category: (not _is_thing(category), category['id']))
    names = [category['name'] for category in categories]
    ids = [category['id'] for category in categories]
    if len(set(names)) < len(names) or len(set(ids)) < len(ids):
        raise ValueError(f'{path}: category names or ids are repeated; each may appear once')
    if classes is None:
        if not categories:
            raise ValueError(f'{path}: the list of categories is empty; at least one class is needed')
        classes = names
    unknown = [name for name in classes if name not in names]
    if unknown:
        raise ValueError(f'{path}: no category named {", ".join(unknown)}; its categories are {", ".join(names)}')
    things = {category['name'] for category in categories if _is_thing(category)}
    vocabulary = Vocabulary(tuple(classes), tuple(name in things for name in classes))
    labels = {name: label for label, name in enumerate(classes)}
    return vocabulary, {category['id']: labels.get(category['name'], IGNORED) for category in categories}


def known_classes(path: str, content: dict, classes: str | Mapping) -> tuple[Vocabulary, dict[int, int]]:
    """Like :func:`coco_classes`, for a class list that comes with xdet: its order, prompts and things count.

    Categories are recognised by name, prompt or alias, see :meth:`xdet.datasets.vocab.ClassList.labels`; those that the
    list does not have get :data:`IGNORED`.

    Args:
        path (str): Name of the file, for errors.
        content (dict): Result of :func:`load_coco_json`.
        classes (str | Mapping): Name of the list, or ``dict(name=..., synonyms=True)``.

    Raises:
        ValueError: There is no such list, or file and list do not belong together.
    """
    vocabulary = make_vocabulary(classes)
    name = classes if isinstance(classes, str) else classes['name']
    labels = get_class_list(name).labels([category['name'] for category in content['categories']])
    found = [label for label in labels if label is not None]
    absent = [vocabulary.names[label] for label in range(len(vocabulary)) if label not in found]
    if absent or len(set(found)) < len(found):
        repeated = [vocabulary.names[label] for label, count in Counter(found).items() if count > 1]
        problem = f'no category for {", ".join(absent)}' if absent else f'several categories for {", ".join(repeated)}'
        raise ValueError(f"{path}: has {problem}; it does not belong to class list '{name}'")
    ids = [category['id'] for category in content['categories']]
    return vocabulary, {number: IGNORED if label is None else label for number, label in zip(ids, labels, strict=True)}


def label_of(path: str, labels: dict[int, int], category_id: int, image_id: int | str) -> int:
    """Label of a category id.

    Raises:
        ValueError: The file does not list that category.
    """
    if category_id not in labels:
        raise ValueError(
            f'{path}: image {image_id} has an annotation of category id {category_id}, '
            f'which the file does not list; its ids are {sorted(labels)}'
        )
    return labels[category_id]


def _is_thing(category: dict) -> bool:
    # Files of the instance task say nothing about it, and have only things.
    return bool(category.get('isthing', 1))
