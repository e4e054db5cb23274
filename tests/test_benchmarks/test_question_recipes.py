"""Recipes of question answering on files: VQAv2's layout and lists of one's own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope
from mmengine.runner import Runner
from PIL import Image
from tiny.tools import ROOT

from xdet.model_zoo import find_config
from xdet.registry import MODELS

BASES = ROOT / 'configs' / '_base_' / 'datasets'
COLOURS = {'red': (220, 20, 20), 'blue': (20, 20, 220)}


@pytest.fixture(autouse=True)
def default_scope() -> None:
    init_default_scope('xdet')


def write_questions(root: Path) -> None:
    """Two pictures of one colour and two questions about each."""
    (root / 'images').mkdir(parents=True)
    rows = []
    for name, colour in COLOURS.items():
        Image.fromarray(np.full((32, 32, 3), colour, dtype=np.uint8)).save(root / 'images' / f'{name}.png')
        rows.append(dict(image=f'{name}.png', question='Which colour is it?', answer=name))
        right = 'yes' if name == 'red' else 'no'
        rows.append(dict(image=f'{name}.png', question='Is it red?', human_answers=[right] * 10))
    for split in ('train', 'val'):
        (root / f'{split}.jsonl').write_text('\n'.join(map(json.dumps, rows)))


def write_vqa_v2(root: Path) -> None:
    (root / 'vqa').mkdir(parents=True)
    for split in ('train', 'val'):
        folder = root / f'{split}2014'
        folder.mkdir()
        Image.fromarray(np.zeros((30, 40, 3), dtype=np.uint8)).save(folder / f'COCO_{split}2014_{3:012d}.jpg')
        questions = [dict(image_id=3, question_id=3000 + i, question='What is it?') for i in range(9)]
        people = [dict(answer='black', answer_id=i) for i in range(10)]
        annotations = [dict(answers=people, answer_type='other', **question) for question in questions]
        for name, key, content in (
            (f'v2_OpenEnded_mscoco_{split}2014_questions.json', 'questions', questions),
            (f'v2_mscoco_{split}2014_annotations.json', 'annotations', annotations),
        ):
            (root / 'vqa' / name).write_text(json.dumps({key: content}))


def with_data(cfg: Config, root: Path) -> Config:
    cfg.train_dataloader.dataset.dataset.update(data_root=f'{root}/', serialize_data=False)
    cfg.val_dataloader.dataset.update(data_root=f'{root}/', serialize_data=False)
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.update(num_workers=0, persistent_workers=False, batch_size=2)
    return cfg


def first_batch(cfg: Config, split: str) -> dict:
    return next(iter(Runner.build_dataloader(cfg[f'{split}_dataloader'], seed=0)))


def test_vqa_v2(tmp_path: Path) -> None:
    write_vqa_v2(tmp_path)
    cfg = with_data(Config.fromfile(BASES / 'vqa_v2.py'), tmp_path)
    train, val = (first_batch(cfg, split) for split in ('train', 'val'))
    assert all(tuple(image.shape) == (3, 640, 640) for image in [*train['inputs'], *val['inputs']])
    assert len(train['data_samples'][0].questions) == 8 and train['data_samples'][0].answers == ({'black': 1.0},) * 8
    assert len(val['data_samples'][0].questions) == 9 and len(val['data_samples'][0].human_answers[0]) == 10


@pytest.mark.parametrize('name', ['vqa_v2', 'question_list'])
def test_missing_data_is_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        DATASETS.build(with_data(Config.fromfile(BASES / f'{name}.py'), tmp_path).train_dataloader.dataset)


def test_own_questions_are_learned(tmp_path: Path) -> None:
    write_questions(tmp_path)
    cfg = with_data(Config.fromfile(find_config('xdecoder_focal-nano_finetune-questions')), tmp_path)
    for pipeline in (cfg.train_dataloader.dataset.dataset.pipeline, cfg.val_dataloader.dataset.pipeline):
        pipeline[1].scale = (32, 32)  # smaller pictures, for time
    tiny = Config.fromfile(str(ROOT / 'tests' / 'tiny' / 'tiny_run.py')).model
    tiny.tasks = dict(cfg.model.tasks, vqa=dict(cfg.model.tasks.vqa, embed_dims=32, answers=('yes', 'no', *COLOURS)))
    torch.manual_seed(0)
    model = MODELS.build(tiny)
    model.init_weights()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    losses = []
    for _ in range(25):
        batch = model.train().data_preprocessor(first_batch(cfg, 'train'), training=True)
        loss = model(**batch, mode='loss')['loss_vqa']
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    samples = model.eval().test_step(first_batch(cfg, 'val'))
    best = {
        sample.img_path.split('/')[-1]: [ranked[0]['answer'] for ranked in sample.pred_answers] for sample in samples
    }
    assert best == {'red.png': ['red', 'yes'], 'blue.png': ['blue', 'no']}


def test_answers_without_names_cannot_be_learned(tmp_path: Path) -> None:
    write_questions(tmp_path)
    cfg = with_data(Config.fromfile(find_config('xdecoder_focal-nano_finetune-questions')), tmp_path)
    tiny = Config.fromfile(str(ROOT / 'tests' / 'tiny' / 'tiny_run.py')).model
    tiny.tasks = dict(vqa=dict(cfg.model.tasks.vqa, embed_dims=32, answers=None, num_answers=4))
    model = MODELS.build(tiny)
    batch = model.train().data_preprocessor(first_batch(cfg, 'train'), training=True)
    with pytest.raises(ValueError, match='built without the names of its answers'):
        model(**batch, mode='loss')
