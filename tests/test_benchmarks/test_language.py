"""Benchmarks of language on pieces of data in the published layouts, through the configs that users run."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import Evaluator
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmengine.structures import InstanceData
from PIL import Image
from tiny.tools import ROOT, run_tool

from xdet.benchmarks.fragments import PROTOCOLS, apply_benchmark, list_benchmarks, load_benchmark
from xdet.registry import DATASETS
from xdet.structures import XDetDataSample

CONFIG = ROOT / 'tests' / 'tiny' / 'language_run.py'
REFCOCO = ['refcoco-unc-val', 'refcoco-unc-testA', 'refcoco+-unc-testB', 'refcocog-umd-test', 'refcocog-google-val']
LANGUAGE = [*REFCOCO, 'phrasecut', 'coco-karpathy', 'flickr30k-karpathy', 'vqav2']


def save_image(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(value)
    Image.fromarray(generator.integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def box(left: int, top: int, width: int, height: int) -> list[float]:
    return [left, top, left + width, top, left + width, top + height, left, top + height]


def write_refcoco(root: Path, name: str) -> None:
    """What the REFER archives hold, converted as a user does: two images of the split and one of training."""
    family, by, split = name.split('-')
    objects = [dict(id=i, image_id=1 + i // 2, segmentation=[box(7 * i, 5, 6, 20)], category_id=1) for i in range(5)]
    for number in (1, 2, 3):
        save_image(root / 'train2017' / f'{number:012d}.jpg', number)
    images = [dict(id=i, file_name=f'COCO_train2014_{i:012d}.jpg', height=30, width=40) for i in (1, 2, 3)]
    refs = [
        dict(
            ref_id=i,
            ann_id=i,
            image_id=1 + i // 2,
            split=split if i < 4 else 'train',
            sentences=[dict(raw=f'The thing {i}', sent=f'thing {i}'), dict(raw=f'object number {i}', sent='x')],
        )
        for i in range(5)
    ]
    source = root / family
    write(source / 'instances.json', dict(images=images, annotations=objects, categories=[dict(id=1, name='thing')]))
    (source / f'refs({by}).p').write_bytes(pickle.dumps(refs, protocol=0))
    out = root / 'annotations' / f'{family}_{by}.json'
    run_tool('dataset_converters/refer_to_json', source / f'refs({by}).p', source / 'instances.json', out)


def write_phrasecut(root: Path, name: str) -> None:
    tasks = []
    for number in (1, 2):
        save_image(root / 'images' / f'{number}.jpg', number)
        for left in (2, 20):
            polygon = np.reshape(box(left, 4, 9, 15), (-1, 2)).tolist()
            phrase = f'thing at {left}'
            tasks.append(dict(task_id=f'{number}__{left}', image_id=number, phrase=phrase, Polygons=[[polygon]]))
    write(root / 'refer_test.json', tasks)
    write(root / 'image_data_split3000.json', [dict(image_id=i, height=30, width=40, split='test') for i in (1, 2)])


def write_karpathy(root: Path, name: str) -> None:
    coco = name == 'coco-karpathy'
    images = []
    for number, split in enumerate(('test', 'test', 'train', 'test'), start=1):
        filename = f'COCO_val2014_{number:012d}.jpg' if coco else f'{number}.jpg'
        save_image(root / ('val2014' if coco else 'flickr30k-images') / filename, number)
        where = dict(filepath='val2014', cocoid=number) if coco else {}
        words = ['a cat', 'two dogs', 'no one', 'some red birds'][number - 1]
        sentences = [dict(raw=f'A picture with {words} {place}.') for place in ('there', 'on a wall')]
        images.append(dict(filename=filename, imgid=number, split=split, sentences=sentences, **where))
    file = 'annotations/dataset_coco.json' if coco else 'dataset_flickr30k.json'
    write(root / file, dict(images=images, dataset='coco' if coco else 'flickr30k'))


def write_vqa(root: Path, name: str) -> None:
    questions, annotations = [], []
    truths = [('yes/no', 'is it', 'yes'), ('number', 'how many', '2'), ('other', 'what color', 'red')]
    for image in (1, 2):
        save_image(root / 'val2014' / f'COCO_val2014_{image:012d}.jpg', image)
        for index, (kind, type_, answer) in enumerate(truths[: image + 1]):
            asked = dict(image_id=image, question_id=1000 * image + index)
            questions.append(dict(question=f'{type_} this?', **asked))
            answers = [dict(answer=answer, answer_confidence='yes', answer_id=i) for i in range(1, 11)]
            annotations.append(
                dict(question_type=type_, answer_type=kind, multiple_choice_answer=answer, answers=answers, **asked)
            )
    write(root / 'vqa/v2_OpenEnded_mscoco_val2014_questions.json', dict(questions=questions))
    write(root / 'vqa/v2_mscoco_val2014_annotations.json', dict(annotations=annotations))


WRITERS = dict.fromkeys(REFCOCO, write_refcoco) | {
    'phrasecut': write_phrasecut,
    'coco-karpathy': write_karpathy,
    'flickr30k-karpathy': write_karpathy,
    'vqav2': write_vqa,
}


def benchmark_config(name: str, root: Path, protocol: str) -> Config:
    cfg = apply_benchmark(Config.fromfile(str(CONFIG)), name, protocol, root)
    init_default_scope('xdet')
    cfg.test_dataloader.update(num_workers=0)
    cfg.test_dataloader.dataset.update(serialize_data=False)
    for metric in cfg.test_evaluator:
        if metric.type == 'CaptionQuality':
            metric.tokenizer = 'python'  # Java is slow to start
    return cfg


def predict(samples: list[XDetDataSample], shuffled: bool) -> None:
    """Make the ground truth the prediction: that of every sample, or, shuffled, that of others."""
    sources = [*samples[1:], samples[0]] if shuffled else samples
    for sample, source in zip(samples, sources, strict=True):
        if 'refseg' in sample.tasks:
            masks = sample.gt_phrases.masks
            sample.pred_phrases = InstanceData(masks=masks.flip(0) if shuffled else masks)
        if 'caption' in sample.tasks:
            sample.pred_captions = [dict(text=source.captions[0], score=0.0)]
        if 'retrieval' in sample.tasks:
            sample.pred_embedding = embedding(source)
            text = embedding(sample).mean(0, keepdim=True)
            sample.pred_text_embeddings = (text / text.norm()).expand(len(sample.captions), -1)
        if 'vqa' in sample.tasks:
            answers = ['blue' if shuffled else people[0] for people in sample.human_answers]
            sample.pred_answers = [[dict(answer=answer, score=1.0)] for answer in answers]


def embedding(sample: XDetDataSample) -> torch.Tensor:
    """Two unit rows that only this image has."""
    rows = torch.randn(2, 8, generator=torch.Generator().manual_seed(sample.img_id))
    return rows / rows.norm(dim=1, keepdim=True)


def score(name: str, root: Path, protocol: str, shuffled: bool = False) -> dict[str, float]:
    cfg = benchmark_config(name, root, protocol)
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    samples = [dataset[index]['data_samples'] for index in range(len(dataset))]
    predict(samples, shuffled)
    evaluator = Evaluator(cfg.test_evaluator)
    evaluator.process(samples)
    return evaluator.evaluate(len(samples))


@pytest.mark.parametrize('name', LANGUAGE)
def test_truth_scores_100_and_shuffled_truth_does_not(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path, name)
    headline = [key for key in load_benchmark(name).facts.headline if not key.startswith('caption/')]
    for protocol in PROTOCOLS:
        right, wrong = score(name, tmp_path, protocol), score(name, tmp_path, protocol, shuffled=True)
        assert headline
        assert {key: right[key] for key in headline} == pytest.approx(dict.fromkeys(headline, 100.0))
        assert all(wrong[key] < 60 for key in headline), wrong
        if 'karpathy' in name:
            assert right['caption/BLEU-4_py'] == pytest.approx(100) and wrong['caption/BLEU-4_py'] < 60
            assert wrong['caption/CIDEr-D_py'] < right['caption/CIDEr-D_py'] / 2


def test_sentences_of_the_protocols(tmp_path: Path) -> None:
    write_refcoco(tmp_path, 'refcocog-umd-val')
    phrases = {}
    for protocol in PROTOCOLS:
        cfg = benchmark_config('refcocog-umd-val', tmp_path, protocol)
        dataset = DATASETS.build(cfg.test_dataloader.dataset)
        assert len(dataset) == 2 and tuple(dataset[0]['inputs'].shape) == (3, 512, 683)
        phrases[protocol, cfg.model.tasks.referring.mode] = dataset[0]['data_samples'].phrases
    assert phrases == {
        ('official', 'joint'): ('the thing 0', 'the thing 1'),
        ('recommended', 'independent'): ('the thing 0', 'object number 0', 'the thing 1', 'object number 1'),
    }


@pytest.mark.parametrize(
    ('name', 'protocol'),
    [
        ('refcoco+-unc-testB', 'official'),
        ('phrasecut', 'recommended'),
        ('coco-karpathy', 'recommended'),
        ('vqav2', 'official'),
    ],
)
def test_model_runs(name: str, protocol: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path, name)
    cfg = benchmark_config(name, tmp_path, protocol)
    for step in cfg.test_dataloader.dataset.pipeline:  # smaller pictures, for time
        if 'scale' in step:
            step.update(scale=(64, 64) if isinstance(step.scale, tuple) else 64)
    cfg.work_dir = str(tmp_path / 'work')
    result = Runner.from_cfg(cfg).test()
    headline = [key for key in load_benchmark(name).facts.headline if not key.startswith('caption/')]
    assert headline and all(0 <= result[key] <= 100 for key in headline)


def test_answers_for_the_server(tmp_path: Path) -> None:
    write_vqa(tmp_path, 'vqav2')
    (tmp_path / 'vqa/v2_OpenEnded_mscoco_val2014_questions.json').rename(
        tmp_path / 'vqa/v2_OpenEnded_mscoco_test2015_questions.json'
    )
    for image in (1, 2):
        save_image(tmp_path / 'test2015' / f'COCO_test2015_{image:012d}.jpg', image)
    cfg = benchmark_config('vqav2-test', tmp_path, 'official')
    cfg.test_dataloader.dataset.pipeline[1].scale = (64, 64)
    cfg.test_evaluator[0].result_file = str(tmp_path / 'answers.json')
    cfg.work_dir = str(tmp_path / 'work')
    assert Runner.from_cfg(cfg).test() == {'vqa/answered': 5.0}
    answers = json.loads((tmp_path / 'answers.json').read_text())
    assert [entry['question_id'] for entry in answers] == [1000, 1001, 2000, 2001, 2002]
    assert all(entry['answer'] in ('yes', 'no', '2', 'red') for entry in answers)


def test_wrong_layouts_are_named(tmp_path: Path) -> None:
    for name in (*LANGUAGE, 'vqav2-test'):
        with pytest.raises(FileNotFoundError, match=rf'^{tmp_path}.*does not exist'):
            DATASETS.build(benchmark_config(name, tmp_path, 'official').test_dataloader.dataset)


def test_missing_splits_are_named(tmp_path: Path) -> None:
    write_refcoco(tmp_path, 'refcoco-unc-val')
    with pytest.raises(ValueError, match='no expressions of testA; its splits are train, val'):
        score('refcoco-unc-testA', tmp_path, 'official')
    write(
        tmp_path / 'dataset_flickr30k.json', dict(images=[dict(filename='x', split='val', sentences=[dict(raw='x')])])
    )
    with pytest.raises(ValueError, match='no rows of split test; its splits are val'):
        score('flickr30k-karpathy', tmp_path, 'official')


def test_all_splits_have_a_benchmark() -> None:
    assert len(list_benchmarks('refcoco*')) == 9
    for name in list_benchmarks('refcoco*'):
        family, by, split = name.split('-')
        dataset = load_benchmark(name).cfg.test_dataloader.dataset
        assert (dataset.ann_file, list(dataset.splits)) == (f'annotations/{family}_{by}.json', [split])
