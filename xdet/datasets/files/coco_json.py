"""Reads COCO annotation files with errors a user can act on."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from xdet.datasets.vocab import get_class_list, make_vocabulary
from xdet.datasets.vocab.loading import warn_of_names
from xdet.io.reading import listed, read_json, shorten
from xdet.io.schema import ID, require, shown
from xdet.structures import Vocabulary
from xdet.structures.vocabulary import refuse_unprintable

from .left_out import LeftOut
from .outlines import OUTLINE_KINDS, describe, read_outline

IGNORED = -1
"""Label of annotations whose category is in the file but not among the classes asked for."""


COCO_LISTS = ('images', 'annotations', 'categories')
"""What an annotation file of segments has; others do without categories."""

_ADVICE = {
    'segments_info': 'is this a file of instances? Panoptic files have a list of segments for every image',
    'height': 'images need their height and width in pixels',
    'width': 'images need their height and width in pixels',
}


def load_json(path: str, backend_args: dict | None = None) -> Any:
    """Content of a JSON file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not JSON.
    """
    try:
        return read_json(path, backend_args=backend_args)
    except (FileNotFoundError, IsADirectoryError):
        raise FileNotFoundError(f'{shorten(str(path))}: annotation file does not exist') from None


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


def field(entry: Any, key: str, kind: type | tuple[type, ...], where: str, **default: Any) -> Any:
    """:func:`~xdet.io.schema.require` with advice for fields that are often missing in other tools' files."""
    try:
        return require(entry, key, kind, where, **default)
    except ValueError as error:
        if key in _ADVICE:
            raise ValueError(f'{error} ({_ADVICE[key]})') from None
        raise


def listed_images(path: str) -> set[int | str]:
    """Ids of the images that a COCO annotation file of any kind lists."""
    images = load_coco_json(path, keys=('images',))['images']
    return {require(image, 'id', ID, f'{path}: image {position}') for position, image in enumerate(images)}


def index_images(path: str, content: dict, *, sizes: bool = True) -> dict[int | str, dict]:
    """Entries of the images of a COCO annotation file by id.

    Args:
        path (str): Name of the file, for errors.
        content (dict): Result of :func:`load_coco_json`.
        sizes (bool): Whether ``height`` and ``width`` are needed.

    Raises:
        ValueError: Two different images have one id, or an entry is damaged.
    """
    images: dict[int | str, dict] = {}
    for position, image in enumerate(content['images']):
        number = require(image, 'id', ID, f'{path}: image {position} (counted from 0)')
        where = f'{path}: image {shorten(str(number), 80)}'
        entry = dict(image, id=number)
        if sizes:
            entry['height'], entry['width'] = image_size(image, where)
        other = images.setdefault(number, entry)
        if sizes and (other['height'], other['width']) != (entry['height'], entry['width']):
            raise ValueError(
                f'{path}: the image id {shorten(str(number), 80)} appears more than once, with the sizes '
                f'{other["width"]}x{other["height"]} and {entry["width"]}x{entry["height"]}; every image needs its own '
                'id'
            )
        if other is not entry and other.get('file_name') != entry.get('file_name'):
            raise ValueError(
                f'{path}: the image id {shorten(str(number), 80)} appears more than once, for '
                f'{shown(other.get("file_name"))} and {shown(entry.get("file_name"))}; every image needs its own id'
            )
    return images


def image_size(image: dict, where: str) -> tuple[int, int]:
    """Height and width of the entry of an image, which ``where`` names.

    Raises:
        ValueError: They are missing, or no image can have them.
    """
    height, width = (field(image, side, int, where) for side in ('height', 'width'))
    if min(height, width) < 1 or height * width > _MOST_PIXELS:
        raise ValueError(f'{where}: its size is {shown(width)}x{shown(height)} pixels, which no image can have')
    return height, width


_MOST_PIXELS = 1 << 31


def file_name(path: str, image: dict) -> str:
    """``file_name`` of the entry of an image.

    Raises:
        ValueError: It is missing, no text, or empty.
    """
    where = f'{path}: image {shorten(str(image.get("id")), 80)}'
    name = require(image, 'file_name', str, where)
    if not name or '\0' in name:
        raise ValueError(f"{where}: 'file_name' is {shown(name)}; it must be the path of a file")
    return name


def index_categories(path: str, content: dict) -> dict[int | str, dict]:
    """Entries of the categories of a COCO annotation file by id, with ``name`` and ``isthing`` checked.

    Raises:
        ValueError: An entry is damaged, or ids or names are repeated.
    """
    categories: dict[int | str, dict] = {}
    ids_of_name: dict[str, int | str] = {}
    for position, category in enumerate(content['categories']):
        number = require(category, 'id', ID, f'{path}: category {position} (counted from 0)')
        where = f'{path}: category {shorten(str(number), 80)}'
        name = require(category, 'name', str, where)
        if not name.strip():
            raise ValueError(f"{where}: 'name' is {shown(name)}; every category needs a name")
        refuse_unprintable(f"{where}: 'name'", name)
        if number in categories:
            raise ValueError(f'{path}: category names or ids are repeated; the id {number} appears more than once')
        if name in ids_of_name:
            raise ValueError(
                f'{path}: category names or ids are repeated; the categories {ids_of_name[name]} and {number} are both '
                f'called {shorten(name, 80)!r}; remove or rename one (some tools put the name of the project first)'
            )
        # Files of the instance task say nothing about it, and have only things.
        categories[number] = dict(category, id=number, isthing=require(category, 'isthing', bool, where, True))
        ids_of_name[name] = number
    kinds = {type(number) for number in categories}
    if len(kinds) > 1:
        raise ValueError(f'{path}: some category ids are numbers and some are texts; they must be of one kind')
    return categories


def check_category(where: str, known: Collection[int | str], category_id: int | str) -> int | str:
    """``category_id`` if it is one of those ``known``.

    Raises:
        ValueError: It is not.
    """
    if category_id not in known:
        raise ValueError(
            f'{where} is of category id {shown(category_id)}, which the file does not list; its ids are '
            f'{listed(map(shown, sorted(known)))}'
        )
    return category_id


def is_crowd(annotation: Any, where: str) -> bool:
    """Whether an annotation stands for a group of objects: by ``iscrowd``, or by ``ignore`` of some tools.

    Raises:
        ValueError: A field is neither 0 nor 1.
    """
    return any(require(annotation, key, bool, where, False) for key in ('iscrowd', 'ignore'))


def load_captions(path: str) -> dict[int | str, tuple[str, ...]]:
    """Captions per image id of a COCO captions file; white space around them is dropped.

    Captions that are empty are left out and reported.

    Raises:
        FileNotFoundError, ValueError: See :func:`load_coco_json`; or an annotation has no caption.
    """
    captions = defaultdict(list)
    left_out = LeftOut(path, 'captions')
    annotations = load_coco_json(path, keys=('annotations',))['annotations']
    for position, annotation in enumerate(annotations):
        where = f'{path}: not a captions file; annotation {position} (counted from 0)'
        image_id = require(annotation, 'image_id', ID, where)
        if text := ' '.join(require(annotation, 'caption', str, where).split()):
            captions[image_id].append(text)
        else:
            left_out.add('are empty', f'of image {image_id}')
    left_out.report(len(annotations))
    return {image_id: tuple(texts) for image_id, texts in captions.items()}


def load_expressions(
    path: str, splits: Sequence[str] | None = None, sizes: Mapping[Any, tuple[int, int]] | None = None
) -> dict[int | str, list[dict]]:
    """Referring expressions per image id.

    Expressions without a sentence, or that refer to nothing (as some of gRefCOCO do on purpose), are left out and
    reported.

    Args:
        path (str): COCO annotation file whose annotations have ``sentences``, a list of dicts with ``raw`` (or
            ``sent``), as the official ``grounding_*.json`` and ``refcocog_*.json`` and the result of
            ``tools/dataset_converters/refer_to_json.py`` have.
        splits (Sequence[str], optional): Keep the annotations whose ``split`` is one of these.
        sizes (Mapping, optional): Height and width of the images of which expressions are wanted, by id. Default: all
            expressions are wanted, and must be of images that the file lists.

    Returns:
        dict: Lists of ``dict(sentences=tuple[str], mask=polygons or RLE)``.

    Raises:
        FileNotFoundError, ValueError: See :func:`load_coco_json`; or an annotation is not of that kind.
    """
    if sizes is None:
        return load_referring(path, splits)[1]
    return _expressions(path, load_coco_json(path, keys=('annotations',)), splits, sizes, only_listed=False)


def load_referring(path: str, splits: Sequence[str] | None) -> tuple[dict, dict[int | str, list[dict]]]:
    """Images of a file, see :func:`index_images`, and all its expressions, see :func:`load_expressions`."""
    content = load_coco_json(path, keys=('images', 'annotations'))
    for annotation in content['annotations'][:1]:
        require(annotation, 'sentences', list, f'{path}: not a file of referring expressions; annotation 0')
    images = index_images(path, content)
    sizes = {number: (image['height'], image['width']) for number, image in images.items()}
    return images, _expressions(path, content, splits, sizes, only_listed=True)


def _expressions(
    path: str,
    content: dict,
    splits: Sequence[str] | None,
    sizes: Mapping[Any, tuple[int, int]],
    only_listed: bool,
) -> dict[int | str, list[dict]]:
    expressions = defaultdict(list)
    left_out = LeftOut(path, 'expressions')
    found_splits = set()
    for position, annotation in enumerate(content['annotations']):
        where = f'{path}: not a file of referring expressions; annotation {position} (counted from 0)'
        image_id = require(annotation, 'image_id', ID, where)
        split = require(annotation, 'split', str, where) if splits is not None else None
        sentences = [sentence_text(sentence, where) for sentence in require(annotation, 'sentences', list, where)]
        if 'segmentation' not in annotation:
            raise ValueError(f"{where}: 'segmentation' is missing; it must be {OUTLINE_KINDS}")
        if splits is not None:
            found_splits.add(split)
            if split not in splits:
                continue
        name = describe(annotation.get('id', f'{position} (counted from 0)'), image_id)
        if image_id not in sizes:
            if only_listed:
                raise ValueError(f'{path}: an expression is of image {shown(image_id)}, which the file does not list')
            continue
        texts = tuple(text for text in sentences if text)
        outline = read_outline(annotation['segmentation'], sizes[image_id], f'{path}: {name}')
        if not texts:
            left_out.add('have no sentence', name)
        elif outline is None:
            left_out.add('refer to no outline (segmentation) in their image', name)
        else:
            expressions[image_id].append(dict(sentences=texts, mask=outline))
    left_out.report(len(content['annotations']))
    if splits is not None and not found_splits & set(splits):
        found = ', '.join(sorted(found_splits))
        raise ValueError(f'{path}: no expressions of {", ".join(splits)}; its splits are {shorten(found)}')
    return dict(expressions)


def sentence_text(sentence: Any, where: str) -> str:
    """Text of an entry of ``sentences``, with single spaces; empty if it has none.

    Raises:
        ValueError: It is no object with ``raw`` or ``sent``.
    """
    raw = require(sentence, 'raw', str, f'{where}: one of its sentences', '')
    return ' '.join((raw or require(sentence, 'sent', str, f'{where}: one of its sentences', '')).split())


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
    categories = sorted(
        index_categories(path, content).values(), key=lambda category: (not category['isthing'], category['id'])
    )
    names = [category['name'] for category in categories]
    if classes is None:
        if not categories:
            raise ValueError(f'{path}: the list of categories is empty; at least one class is needed')
        classes = names
    unknown = [name for name in classes if name not in names]
    if unknown:
        raise ValueError(f'{path}: no category named {listed(unknown)}; its categories are {listed(names)}')
    warn_of_names(path, classes)
    things = {category['name'] for category in categories if category['isthing']}
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
    categories = index_categories(path, content)
    labels = get_class_list(name).labels([category['name'] for category in categories.values()])
    found = [label for label in labels if label is not None]
    absent = [vocabulary.names[label] for label in range(len(vocabulary)) if label not in found]
    if absent or len(set(found)) < len(found):
        repeated = [vocabulary.names[label] for label, count in Counter(found).items() if count > 1]
        problem = f'no category for {listed(absent)}' if absent else f'several categories for {listed(repeated)}'
        raise ValueError(f"{path}: has {problem}; it does not belong to class list '{name}'")
    return vocabulary, {
        number: IGNORED if label is None else label for number, label in zip(categories, labels, strict=True)
    }
