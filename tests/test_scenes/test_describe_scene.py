"""Splits of the generated world, and its texts in pipelines."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine import Config
from tiny.scene_reader import mentioned, one

from xdet.datasets import Draw, SeededDataset
from xdet.scenes import DescribeScene, ScenesDataset
from xdet.scenes.captions import canonical_caption, region_caption
from xdet.scenes.description import COLOURS, SHAPES
from xdet.scenes.facts import mirrored
from xdet.scenes.questions import ANSWERS
from xdet.scenes.render import render_scene
from xdet.scenes.sampling import HELD_OUT, sample_scene, split_vocabulary
from xdet.scenes.texts import scene_texts
from xdet.scenes.words import SYNONYMS, with_synonyms

CONFIG = Path(__file__).resolve().parents[2] / 'configs' / '_base_' / 'datasets' / 'scenes_joint.py'
RENDER, PACK = dict(type='RenderScene', size=48), dict(type='PackXDetInputs')
TEST_PACK = dict(type='PackXDetInputs', test_mode=True)


def test_answer_vocabulary_is_in_the_config() -> None:
    assert len(set(ANSWERS)) == len(ANSWERS) == 39
    assert tuple(Config.fromfile(CONFIG).answers) == ANSWERS


# ----------------------------------------------------------------------------------------------------------- splits


def test_compositional_split_keeps_pairs_from_training() -> None:
    names = '|'.join(f'{name}(?:e?s)?' for name in HELD_OUT)
    assert {name.split()[0] for name in HELD_OUT} == set(COLOURS)
    assert {name.split()[1] for name in HELD_OUT} == set(SHAPES)
    for split in ('train_comp', 'val_comp'):
        assert not set(HELD_OUT) & set(split_vocabulary(split).names)
        dataset = ScenesDataset(
            150, split=split, pipeline=[RENDER, DescribeScene(num_questions=3), DescribeScene(test_mode=True)]
        )
        for results in dataset:
            scene = results['scene_description']
            assert len(scene.objects) >= 2
            assert not {item.name for item in scene.objects} & set(HELD_OUT)
            texts = [results['caption'], *results['captions'], *results['questions']]
            texts += [text['text'] for key in ('phrases', 'regions') for text in results[key]]
            assert not re.search(rf'\b(?:{names})\b', ' '.join(texts))
            labels = [results['vocabulary'].names[info['label']] for info in results['segments_info']]
            assert labels == [*scene.regions, *(item.name for item in scene.objects)]


def test_every_test_scene_of_the_compositional_split_has_a_new_pair() -> None:
    counts: Counter[str] = Counter()
    for index in range(150):
        scene = sample_scene('test_comp', 0, index)
        found = {item.name for item in scene.objects} & set(HELD_OUT)
        assert found
        counts.update(found)
        _, phrases, _ = scene_texts(scene, 'test_comp')
        new = [any(name in phrase.text for name in HELD_OUT) for phrase in phrases]
        assert all(new) or not any(new)
    assert set(counts) == set(HELD_OUT)


def test_synonyms_tell_the_same_scenes_in_unseen_words() -> None:
    words = {word for name in (*SYNONYMS, *SYNONYMS.values()) for word in name.split()}
    assert len(words) == sum(len(name.split()) for name in (*SYNONYMS, *SYNONYMS.values()))  # no word in two places
    assert with_synonyms('two crosses and an orange heart on the grass') == (
        'two plus signs and a tangerine love symbol on the lawn'
    )
    pipeline = [RENDER, DescribeScene(test_mode=True)]
    known, unknown = (ScenesDataset(30, split=split, pipeline=pipeline) for split in ('test', 'test_words'))
    for left, right in zip(known, unknown, strict=True):
        np.testing.assert_array_equal(left['img'], right['img'])
        assert left['segments_info'] == right['segments_info'] and left['answers'] == right['answers']
        assert [with_synonyms(text) for text in left['captions']] == list(right['captions'])
        texts = ' '.join((*right['captions'], *right['questions'], *(phrase['text'] for phrase in right['phrases'])))
        assert not re.search(rf'\b(?:{"|".join(SYNONYMS)})(?:e?s)?\b', texts)
    assert unknown.metainfo['classes'][0] == 'scarlet disc' and len(set(unknown.metainfo['classes'])) == 55


# ------------------------------------------------------------------------------------------------- pipeline, packing


def test_texts_for_evaluation_never_change() -> None:
    texts = [
        json.dumps([[vars(text) for text in part] for part in scene_texts(sample_scene(split, 0, index), split)])
        for split in ('val', 'test', 'test_comp')
        for index in range(20)
    ]
    assert hashlib.sha256('\n'.join(texts).encode()).hexdigest()[:16] == 'b6f31b7c0c2bc21c'


def test_training_texts_depend_on_seed_and_place_only() -> None:
    styles = dict(canonical=0.4, complete=0.3, partial=0.3)
    describe = dict(type='DescribeScene', caption_styles=styles)
    dataset = SeededDataset(ScenesDataset(10, pipeline=[RENDER, describe, PACK]))

    def texts(draw: Draw) -> tuple:
        sample = dataset[draw]['data_samples']
        return sample.caption, tuple(sample.gt_phrases.texts), sample.questions, tuple(sample.gt_regions.texts)

    first = [texts(Draw(position, 0, 0)) for position in range(10)]
    assert [texts(Draw(position, 0, 0)) for position in reversed(range(10))] == first[::-1]
    assert sum(texts(Draw(position, 1, 0)) == first[position] for position in range(10)) == 0


def test_training_sample() -> None:
    describe = dict(type='DescribeScene', num_phrases=3, num_questions=4, num_regions=2)
    dataset = SeededDataset(ScenesDataset(30, pipeline=[RENDER, describe, PACK]))
    for position in range(30):
        sample = dataset[Draw(position, 0, 0)]['data_samples']
        scene = sample_scene('train', 0, position)
        rendered = render_scene(scene, 48)
        assert sample.caption == canonical_caption(scene).text
        assert sample.nouns == tuple(mentioned(sample.caption))
        assert len(sample.questions) == len(set(sample.questions)) == len(sample.answers) == 4
        assert all(list(row.values()) == [1.0] and set(row) <= set(ANSWERS) for row in sample.answers)
        assert all(question.endswith('?') for question in sample.questions)
        described = {region_caption(scene, item): place for place, item in enumerate(scene.objects, len(scene.regions))}
        assert len(sample.gt_regions) == min(2, len(scene.objects))
        for text, mask in zip(sample.gt_regions.texts, sample.gt_regions.masks.expand(), strict=True):
            np.testing.assert_array_equal(mask.numpy(), rendered.segment_map == described[text] + 1)
        assert 1 <= len(sample.gt_phrases) <= 3 and sample.gt_phrases.masks.expand().dtype == torch.bool
        for text, mask in zip(sample.gt_phrases.texts, sample.gt_phrases.masks.expand(), strict=True):
            name = text.removeprefix('the ')
            if name in scene.regions:
                index = scene.regions.index(name)
            else:
                index = len(scene.regions) + scene.objects.index(one(scene, text))
            np.testing.assert_array_equal(mask.numpy(), rendered.segment_map == index + 1)
        assert 'captions' not in sample and 'phrases' not in sample


def test_evaluation_sample_and_choice_of_texts() -> None:
    dataset = ScenesDataset(4, split='val', pipeline=[RENDER, dict(type='DescribeScene', test_mode=True), TEST_PACK])
    for index, packed in enumerate(dataset):
        sample, scene = packed['data_samples'], sample_scene('val', 0, index)
        captions, phrases, questions = scene_texts(scene, 'val')
        assert sample.captions == tuple(caption.text for caption in captions)
        assert sample.captions[0] == canonical_caption(scene).text
        assert sample.phrases == tuple(sample.gt_phrases.texts) == tuple(phrase.text for phrase in phrases)
        assert sample.phrase_kinds == tuple(phrase.kind for phrase in phrases)
        for phrase, mask in zip(phrases, sample.gt_phrases.masks, strict=True):
            np.testing.assert_array_equal(mask, sample.gt_panoptic_seg.sem_seg[0] == phrase.segment + 1)
        assert sample.questions == tuple(question.text for question in questions)
        assert sample.question_kinds == tuple(question.kind for question in questions)
        assert sample.answers == tuple({question.answer: 1.0} for question in questions)
        assert set(sample.region_captions) <= {region_caption(scene, item) for item in scene.objects}
        assert len(sample.region_captions) == len(sample.region_prompts) == min(2, len(scene.objects))
    only = ScenesDataset(1, pipeline=[RENDER, dict(type='DescribeScene', texts=('questions',)), PACK])[0][
        'data_samples'
    ]
    assert len(only.questions) == 1 and 'caption' not in only and 'gt_phrases' not in only


def test_synonyms_in_training_captions_only() -> None:
    describe = dict(type='DescribeScene', synonym_share=0.5)
    dataset = SeededDataset(ScenesDataset(60, pipeline=[RENDER, describe, PACK]))
    samples = [dataset[Draw(position, 0, 0)]['data_samples'] for position in range(60)]
    pattern = re.compile('|'.join(SYNONYMS.values()))
    assert 15 < sum(bool(pattern.search(sample.caption)) for sample in samples) < 45
    assert not any(pattern.search(' '.join([*sample.questions, *sample.gt_phrases.texts])) for sample in samples)


def test_flip_before_the_texts_is_described_and_after_them_refused() -> None:
    flip = dict(type='mmdet.RandomFlip', prob=1.0)
    dataset = ScenesDataset(40, split='val', pipeline=[RENDER, flip, dict(type='DescribeScene', test_mode=True), PACK])
    relations = 0
    for index, packed in enumerate(dataset):
        seen = mirrored(sample_scene('val', 0, index))
        ground = render_scene(replace(sample_scene('val', 0, index), objects=()), 48).segment_map
        agree = render_scene(replace(seen, objects=()), 48).segment_map == ground[:, ::-1]
        assert agree.mean() > 0.999
        for text, mask in zip(
            packed['data_samples'].gt_phrases.texts, packed['data_samples'].gt_phrases.masks.expand(), strict=True
        ):
            if text.removeprefix('the ') in seen.regions:
                continue
            x, y = one(seen, text).centre
            rows, columns = np.nonzero(mask.numpy())
            assert abs(columns.mean() / 48 - x) < 0.15 and abs(rows.mean() / 48 - y) < 0.15
            relations += 'left' in text or 'right' in text
    assert relations > 20
    later = ScenesDataset(1, pipeline=[RENDER, dict(type='DescribeScene', num_phrases=9, test_mode=True), flip, PACK])
    with pytest.raises(ValueError, match='was flipped .horizontal., which makes'):
        later[0]


def test_shares_of_questions() -> None:
    describe = dict(type='DescribeScene', num_questions=12, question_shares=dict(count=3, background=1))
    dataset = SeededDataset(ScenesDataset(20, pipeline=[RENDER, describe, PACK]))
    samples = [dataset[Draw(position, 0, 0)]['data_samples'] for position in range(20)]
    assert all(len(sample.questions) == len(set(sample.questions)) == len(sample.answers) for sample in samples)
    questions = [question for sample in samples for question in sample.questions]
    counts = sum(question.startswith('how many') for question in questions)
    assert all(question.startswith(('how many', 'what is')) for question in questions)
    assert max(len(sample.questions) for sample in samples) == 12
    assert 2 < counts / (len(questions) - counts)


def test_bad_arguments_are_named() -> None:
    for arguments, message in (
        (dict(texts=('captions',)), 'accepted are caption, phrases, questions, regions'),
        (dict(texts='caption'), 'accepted are caption, phrases, questions, regions'),
        (dict(caption_styles=dict(long=1)), 'accepted are canonical, complete, partial'),
        (dict(caption_styles=dict(partial=-1)), 'shares must be 0 or more'),
        (dict(synonym_share=2), 'synonym_share is 2'),
        (dict(question_shares=dict(why=1)), 'accepted are count, colour'),
        (dict(question_shares=dict(size=0)), 'question_shares is .* not all 0'),
        (dict(num_phrases=0), 'num_phrases is 0'),
        (dict(num_questions=0), 'num_questions is 0'),
    ):
        with pytest.raises(ValueError, match=message):
            DescribeScene(**arguments)


def test_config_base_gives_batches() -> None:
    cfg = Config.fromfile(CONFIG)
    train = SeededDataset(cfg.train_dataloader.dataset.dataset)[Draw(99, 0, 0)]['data_samples']
    assert {'caption', 'nouns', 'questions', 'answers', 'gt_phrases', 'gt_regions', 'gt_segments'} <= set(
        train.all_keys()
    )
    for name in ('val', 'test'):
        dataset = ScenesDataset(
            **{key: value for key, value in cfg[f'{name}_dataloader'].dataset.items() if key != 'type'}
        )
        sample = dataset[5]['data_samples']
        assert sample.tasks == ('panoptic', 'refseg', 'caption', 'refcaption', 'retrieval', 'vqa')
        assert {'captions', 'phrases', 'questions', 'answers', 'gt_phrases', 'gt_panoptic_seg'} <= set(
            sample.all_keys()
        )
        assert [metric.type for metric in cfg[f'{name}_evaluator']] == [
            'PanopticQuality', 'ReferringIoU', 'CaptionMatch', 'RegionCaptionMatch', 'RetrievalRecall', 'VQAAccuracy',
        ]  # fmt: skip
