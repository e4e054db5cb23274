"""What a model of photographs can do: one pass over labelled photographs, and the generated world beside it.

Every photograph is encoded and decoded once; all tasks, and every synonym of a class name, read that.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from torch import Tensor, nn
from torch.utils.data import Subset

from xdet.io.terminal import tell
from xdet.registry import DATASETS
from xdet.structures import TextPrompts, Vocabulary, XDetDataSample

from .failures import silence
from .subject import evaluate_each
from .tables import Cell, markdown

ANIMALS = ('cat', 'dog', 'horse', 'cow', 'sheep')
SEVEN = ('background', *ANIMALS, 'person')
"""What the mean IoU is taken over."""

BACKGROUND_SCORE = 0.4
"""What was best on every thirtieth photograph of the training set, among 0.3, 0.4 and 0.5."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    'cat': ('kitten', 'feline'),
    'dog': ('puppy', 'hound'),
    'horse': ('pony', 'foal'),
    'cow': ('calf', 'bovine'),
    'sheep': ('lamb', 'ewe'),
    'person': ('human', 'human being'),
    'sofa': ('couch',),
    'car': ('automobile',),
    'airplane': ('aircraft',),
    'bicycle': ('bike',),
    'motorcycle': ('motorbike',),
    'tv': ('television',),
}
"""Words that are no labels of the training data, by the class that they mean."""

METRICS = {
    'panoptic': (dict(type='PanopticQuality', classwise=True, company=True),),
    'semantic': (
        dict(type='SemanticIoU', background=True, classwise=True),
        dict(type='SemanticIoU', background=True, classes=SEVEN, prefix='seven'),
    ),
    'refseg': (dict(type='ReferringIoU'),),
    'caption': (dict(type='CaptionNames', names=ANIMALS),),
    'vqa': (dict(type='VQAAccuracy'),),
}
"""Metrics of photographs by the task that they judge."""

SCENE_METRICS = ('PanopticQuality', 'ReferringIoU', 'CaptionMatch', 'RegionCaptionMatch', 'VQAAccuracy')

AIMS: tuple[tuple[str, str, float], ...] = (
    ('mIoU of 7 classes with background', 'photographs/mIoU7', 72.0),
    ('PQ of the five animals', 'photographs/PQ_animals', 58.0),
    ('PQ of people', 'photographs/PQ_person', 35.0),
    ('phrases, cIoU', 'photographs/referring/cIoU', 65.0),
    ('captions that name the right animals', 'photographs/caption/names', 80.0),
    ('questions', 'photographs/vqa/accuracy', 75.0),
    ('IoU that synonyms keep', 'synonyms/kept', 80.0),
    ('generated world, PQ', 'scenes/panoptic/PQ', 91.8),
    ('generated world, phrases cIoU', 'scenes/referring/cIoU', 88.1),
    ('generated world, captions', 'scenes/caption/exact', 77.4),
    ('generated world, text to image R@1', 'scenes/retrieval/text_to_image_R@1', 95.2),
    ('generated world, image to text R@1', 'scenes/retrieval/image_to_text_R@1', 96.4),
    ('generated world, questions', 'scenes/vqa/accuracy', 85.2),
)
"""What is measured, where it stands among the values, and what is aimed at."""


def photo_dataset(cfg: Config, root: str | Path | None, split: str = 'val') -> dict[str, Any]:
    """Config of the labelled photographs in a folder.

    Args:
        cfg (Config): Whose ``val_dataloader.dataset`` is a ``CocoPanopticSegDataset`` of photographs.
        root (str | Path, optional): Folder with ``panoptic_<split>.json``, ``panoptic/<split>/``, ``images/<split>/``
            and ``labels/<split>/`` (8-bit labels, 0 background, 255 ignored), or with a folder ``voc_animals`` that has
            them. None: the ``data_root`` of the config.
        split (str): Name of the split.

    Raises:
        FileNotFoundError: The folder lacks one of these.
        ValueError: The config has no such data set.
    """
    loader = cfg.get('val_dataloader') or {}
    dataset = dict(loader.get('dataset') or {})
    if dataset.get('type') != 'CocoPanopticSegDataset':
        raise ValueError(
            f'the val_dataloader of the config reads {dataset.get("type", "nothing")}; it must be a '
            'CocoPanopticSegDataset of photographs, as in xdecoder_lite0-nano_joint-photos'
        )
    folder = Path(dataset.get('data_root', '') if root is None else root)
    if (folder / 'voc_animals').is_dir():
        folder /= 'voc_animals'
    parts = (f'panoptic_{split}.json', f'panoptic/{split}', f'images/{split}', f'labels/{split}')
    missing = [part for part in parts if not (folder / part).exists()]
    if missing:
        raise FileNotFoundError(f'{folder}: has no {missing[0]}; a folder of photographs has {", ".join(parts)}')
    return dict(
        dataset,
        data_root=f'{folder}/',
        ann_file=parts[0],
        data_prefix=dict(img=f'{parts[2]}/', seg=f'{parts[1]}/', sem=f'{parts[3]}/'),
        sem_map_values=dict(label_offset=1, background_label=0),
        test_mode=True,
    )


def chosen(dataset: Mapping[str, Any], every: int = 1, number: int | None = None) -> Subset:
    """Every n-th image of a data set, at most so many.

    Raises:
        ValueError: A number is not positive.
    """
    for name, value in (('--every', every), ('--num-images', number)):
        if value is not None and value < 1:
            raise ValueError(f'{name} is {value}; it must be at least 1')
    built = DATASETS.build(dataset)
    built.full_init()
    return Subset(built, range(0, len(built), every)[:number])


@dataclass
class Photographs:
    """Numbers of a model on labelled photographs.

    Args:
        model (nn.Module): An ``XDecoder`` in evaluation mode; while it is used here it looks for background.
        images (Subset): From :func:`chosen`.
        synonyms (Mapping[str, Sequence[str]]): Words to try in place of class names.
        tasks (Sequence[str]): What to measure, of the keys of :data:`METRICS`.
    """

    model: nn.Module
    images: Subset
    synonyms: Mapping[str, Sequence[str]] = field(default_factory=dict)
    tasks: Sequence[str] = tuple(METRICS)

    def __post_init__(self) -> None:
        self.meta = self.images.dataset.metainfo
        unknown = [word for word in self.synonyms if word not in self.meta['classes']]
        if unknown:
            raise ValueError(f"synonyms of '{unknown[0]}': the classes are {', '.join(self.meta['classes'])}")
        self.tasks = tuple(task for task in self.tasks if task in self.model.task_names)
        self.evaluator = evaluator_of([metric for task in self.tasks for metric in METRICS[task]], self.meta)
        self.of_synonyms = {
            (word, synonym): evaluator_of([dict(type='SemanticIoU', background=True, classes=(word,))], self.meta)
            for word, own in self.synonyms.items()
            for synonym in own
        }
        self.seconds = 0.0

    def run(self) -> Iterator[tuple[int, Tensor, XDetDataSample]]:
        """Measure; yields the index, the pixels ``[3, h, w]`` and the predictions of every image."""
        segmentation = self.model.tasks['segmentation']
        before, segmentation.background_score = segmentation.background_score, BACKGROUND_SCORE
        try:
            for index in self.images.indices:
                start = time.perf_counter()
                pixels, sample = self._measure(self.images.dataset[index])
                self.seconds += time.perf_counter() - start
                yield index, pixels, sample
        finally:
            segmentation.background_score = before

    @torch.no_grad()
    def _measure(self, packed: Mapping[str, Any]) -> tuple[Tensor, XDetDataSample]:
        batch = dict(inputs=[packed['inputs']], data_samples=[packed['data_samples']])
        data = self.model.data_preprocessor(batch, False)
        sample = data['data_samples'][0]
        features = self.model.encode(data['inputs'][0][None])
        shared = self.model.latent_pass(features)
        asked = sample.prompts
        self.model.predict_features(features, [sample], shared, [replace(asked, tasks=self.tasks)])
        self.evaluator.process([sample], None)
        for (word, synonym), evaluator in self.of_synonyms.items():
            renamed = XDetDataSample(metainfo=sample.metainfo)
            renamed.gt_sem_seg = sample.gt_sem_seg
            prompts = TextPrompts(tasks=('semantic',), vocabulary=with_synonym(asked.vocabulary, word, synonym))
            self.model.predict_features(features, [renamed], shared, [prompts])
            evaluator.process([renamed], None)
        return packed['inputs'], sample

    def values(self) -> dict[str, float]:
        """All numbers, those of the classes among them."""
        found = values_of(self.evaluator, len(self.images))

        def of_animals(value: str) -> float:
            known = [found[key] for name in ANIMALS if (key := f'panoptic/{value}_{name}') in found]
            return mean(known) if known else math.nan

        return {
            'mIoU7': found.get('seven/mIoU', math.nan),
            'PQ_animals': of_animals('PQ'),
            'animals_alone': of_animals('recall_alone'),
            'animals_among': of_animals('recall_among'),
            'PQ_person': found.get('panoptic/PQ_person', math.nan),
            **{key: value for key, value in found.items() if not key.startswith('seven/')},
            'images': len(self.images),
            'seconds': self.seconds,
        }

    def synonym_values(self, values: Mapping[str, float]) -> dict[str, Any]:
        """What becomes of the IoU of a class that is asked for by a synonym, in percent of that of the trained word.

        Args:
            values (Mapping): From :meth:`values`.

        Returns:
            dict: ``words``, a dict per synonym; ``kept``, their mean (more than 100 % counts as 100), and ``keep_80``,
            the share that keeps 80 % or more. Classes that are never found by the trained word have nothing to keep and
            do not count.
        """
        rows = []
        for (word, synonym), evaluator in self.of_synonyms.items():
            iou = values.get(f'semantic/IoU_{word}', math.nan)
            other = values_of(evaluator, len(self.images))['semantic/mIoU']
            share = 100 * other / iou if iou else math.nan
            rows.append(dict(word=word, synonym=synonym, iou=iou, iou_synonym=other, kept=share))
        kept = [row['kept'] for row in rows if not math.isnan(row['kept'])]
        if not kept:
            return dict(words=rows)
        return dict(
            words=rows, kept=mean(min(value, 100) for value in kept), keep_80=100 * mean(value >= 80 for value in kept)
        )


def with_synonym(vocabulary: Vocabulary, word: str, synonym: str) -> Vocabulary:
    """The vocabulary, with the text encoder told ``synonym`` about the class ``word``."""
    texts = zip(vocabulary.names, vocabulary.texts, strict=True)
    return replace(vocabulary, prompts=tuple((synonym,) if name == word else own for name, own in texts))


def values_of(evaluator: Evaluator, number: int) -> dict[str, float]:
    """Values of all metrics that can be computed; others are named. Tables of classes are not printed."""
    with silence():
        values, problems = evaluate_each(evaluator, number)
    for problem in problems:
        tell(f'left out: {problem}', error=True)
    return values


def evaluator_of(metrics: Sequence[Mapping[str, Any]], meta: Mapping[str, Any]) -> Evaluator:
    """Fresh metrics that know the data set."""
    evaluator = Evaluator([dict(metric) for metric in metrics])
    evaluator.dataset_meta = dict(meta)
    return evaluator


def measure_set(model: nn.Module, dataset: Mapping[str, Any], metrics: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Values of metrics on a data set, batch by batch.

    Args:
        model (nn.Module): In evaluation mode.
        dataset (Mapping): Config.
        metrics (Sequence[Mapping]): Configs.
    """
    images = chosen(dataset)
    evaluator = evaluator_of(metrics, images.dataset.metainfo)
    for start in range(0, len(images), 8):
        packed = [images[index] for index in range(start, min(start + 8, len(images)))]
        batch = {key: [one[key] for one in packed] for key in ('inputs', 'data_samples')}
        evaluator.process(model.test_step(batch), None)
    return {**values_of(evaluator, len(images)), 'images': len(images)}


def scenes(cfg: Config, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Config of so many scenes of the generated world's test split, and of what they are judged by.

    Raises:
        ValueError: The config does not say how scenes are prepared.
    """
    if 'scenes_test_pipeline' not in cfg:
        raise ValueError(
            'the config has no scenes_test_pipeline; leave --scenes out, or take a config that learns them'
        )
    pipeline = cfg.scenes_test_pipeline
    dataset = dict(type='ScenesDataset', split='test', num_scenes=number, pipeline=pipeline, test_mode=True)
    metrics: list[dict[str, Any]] = [dict(type=name) for name in SCENE_METRICS]
    return dataset, [*metrics, dict(type='RetrievalRecall', group_size=min(number, 100))]


def aim_rows(values: Mapping[str, Any]) -> list[list[Cell]]:
    """A row per aim: what, aimed at, measured, and whether that is reached; values that were not measured are empty."""
    rows: list[list[Cell]] = []
    for title, key, least in AIMS:
        part, _, name = key.partition('/')
        measured = values.get(part, {}).get(name)
        reached = None if measured is None else 'yes' if measured >= least else 'no'
        rows.append([title, f'{least:g}', measured, reached])
    return rows


def report(found: Mapping[str, Any]) -> str:
    """The numbers as Markdown: aims, classes, synonyms, kinds of questions and the other sets."""
    photos = found['photographs']
    columns = ('semantic/IoU', 'panoptic/PQ', 'panoptic/recall_alone', 'panoptic/recall_among')
    names = [*SEVEN, *(name for name in found['classes'] if name not in SEVEN)]
    rows: list[list[Cell]] = [[name, *(photos.get(f'{column}_{name}') for column in columns)] for name in names]
    parts = [
        f'# {found["config"]}, {found["weights"]}',
        f'{photos["images"]} photographs of `{found["data"]}`.',
        '## Aims\n',
        markdown(['what', 'aim', 'measured', 'reached'], aim_rows(found)),
        '## Classes\n',
        markdown(
            ['class', 'IoU', 'PQ', 'found alone', 'found among others of its class'],
            [row for row in rows if row[1:] != [None] * len(columns)],
        ),
    ]
    if found['synonyms']['words']:
        keys = ('word', 'synonym', 'iou', 'iou_synonym', 'kept')
        header = ['class', 'synonym', 'IoU of the word', 'IoU of the synonym', 'kept (%)']
        cells = [[row[key] for key in keys] for row in found['synonyms']['words'] if not math.isnan(row['iou'])]
        parts += ['## Synonyms\n', markdown(header, cells)]
    listed = {'photographs': photos, 'scenes': found.get('scenes', {}), **found.get('sets', {})}
    header = ['set', 'value', '%']
    of_classes = tuple(f'{column}_' for column in columns)
    cells = [
        [name, key, value]
        for name, values in listed.items()
        for key, value in values.items()
        if '/' in key and not key.startswith(of_classes) and isinstance(value, float)
    ]
    parts += ['## All values\n', markdown(header, cells)]
    return '\n\n'.join(parts).replace('\n\n\n', '\n\n') + '\n'


def without_nan(value: Any) -> Any:
    """``value`` with None in place of NaN, which JSON does not have."""
    if isinstance(value, Mapping):
        return {key: without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(item) for item in value]
    return None if isinstance(value, float) and math.isnan(value) else value
