"""Numbers of photographs: those of the metrics alone, from one encoding per image, and what becomes of synonyms."""

from __future__ import annotations

import math
from pathlib import Path
from unittest import mock

import pytest
import torch
from mmengine.config import Config
from tiny.photos import write_photos
from tiny.tools import ROOT

from xdet.analysis import photo_report
from xdet.analysis.photo_report import Photographs, aim_rows, chosen, photo_dataset, report, with_synonym
from xdet.analysis.subject import import_components
from xdet.evaluation import SemanticIoU
from xdet.registry import MODELS
from xdet.structures import Vocabulary

CONFIG = ROOT / 'tests' / 'tiny' / 'photo_run.py'


@pytest.fixture(scope='module')
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp('photos'))


@pytest.fixture(scope='module')
def cfg() -> Config:
    import_components()
    return Config.fromfile(str(CONFIG))


@pytest.fixture(scope='module')
def model(cfg: Config) -> torch.nn.Module:
    torch.manual_seed(0)
    return MODELS.build(cfg.model).eval()


def test_every_image_is_encoded_once_for_all_numbers(cfg: Config, model: torch.nn.Module, folder: Path) -> None:
    synonyms = dict(dog=('hound', 'dog'), cat=('kitten',))
    photographs = Photographs(model, chosen(photo_dataset(cfg, folder)), synonyms)
    with mock.patch.object(type(model), 'encode', autospec=True, side_effect=type(model).encode) as encode:
        found = [(index, sample) for index, _, sample in photographs.run()]
    assert encode.call_count == 3 and [index for index, _ in found] == [0, 1, 2]
    assert model.tasks['segmentation'].background_score is None
    values = photographs.values()
    assert {'mIoU7', 'PQ_animals', 'PQ_person', 'referring/cIoU', 'caption/names', 'vqa/accuracy'} <= values.keys()
    alone = SemanticIoU(background=True, classes=photo_report.SEVEN)
    alone.dataset_meta = photographs.meta
    alone.process(None, [sample.to_dict() for _, sample in found])
    assert values['mIoU7'] == alone.evaluate(3)['semantic/mIoU'] and values['images'] == 3
    kept = photographs.synonym_values(values)
    itself = next(row for row in kept['words'] if row['synonym'] == 'dog')
    assert itself['iou_synonym'] == values['semantic/IoU_dog']
    assert math.isnan(itself['kept']) or itself['kept'] == 100
    text = report(dict(config='c', weights='w', data='d', classes=photographs.meta['classes'], photographs=values,
                       synonyms=kept, scenes={}, sets={}))  # fmt: skip
    assert '## Aims' in text and '| background ' in text


def test_a_part_of_the_images_and_of_the_tasks(cfg: Config, model: torch.nn.Module, folder: Path) -> None:
    images = chosen(photo_dataset(cfg, folder / 'voc_animals', 'train'), every=2, number=1)
    assert list(images.indices) == [0]
    photographs = Photographs(model, images, tasks=('panoptic',))
    [(_, _, sample)] = photographs.run()
    assert 'pred_captions' not in sample and 'pred_sem_seg' not in sample
    values = photographs.values()
    assert 'panoptic/PQ' in values and math.isnan(values['mIoU7'])


def test_background_is_looked_for_until_the_end_whatever_happens(cfg, model, folder) -> None:
    photographs = Photographs(model, chosen(photo_dataset(cfg, folder)), {})
    run = photographs.run()
    next(run)
    assert model.tasks['segmentation'].background_score == photo_report.BACKGROUND_SCORE
    run.close()
    assert model.tasks['segmentation'].background_score is None


def test_a_synonym_replaces_what_is_said_about_its_class() -> None:
    names = Vocabulary(('dog', 'cat'), (True, True), (('dog', 'hound'), ('cat',)))
    assert with_synonym(names, 'dog', 'puppy') == Vocabulary(names.names, names.is_thing, (('puppy',), ('cat',)))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda cfg, folder: photo_dataset(Config(), folder), 'reads nothing; it must be a CocoPanopticSegDataset'),
        (lambda cfg, folder: photo_dataset(cfg, folder, 'test'), 'voc_animals: has no panoptic_test.json; a folder of'),
        (lambda cfg, folder: photo_dataset(cfg, folder.parent / 'x'), 'x: has no panoptic_val.json'),
        (lambda cfg, folder: chosen(photo_dataset(cfg, folder), every=0), '--every is 0; it must be at least 1'),
        (lambda cfg, folder: photo_report.scenes(Config(), 3), 'the config has no scenes_test_pipeline'),
    ],
)
def test_what_is_missing_is_named(cfg: Config, folder: Path, change, message: str) -> None:
    with pytest.raises((ValueError, OSError), match=message):
        change(cfg, folder)


def test_synonyms_of_unknown_classes_are_named(cfg, model, folder) -> None:
    with pytest.raises(ValueError, match="synonyms of 'lion': the classes are cat, cow"):
        Photographs(model, chosen(photo_dataset(cfg, folder)), dict(lion=('cub',)))


def test_aims_compare_what_was_measured() -> None:
    rows = {row[0]: row[1:] for row in aim_rows(dict(photographs={'mIoU7': 72.0, 'PQ_animals': 57.9}, synonyms={}))}
    assert rows['mIoU of 7 classes with background'] == ['72', 72.0, 'yes']
    assert rows['PQ of the five animals'] == ['58', 57.9, 'no']
    assert rows['generated world, PQ'] == ['91.8', None, None]
