"""Fragments: found by name, applied to a model's config, moved to other folders."""

from __future__ import annotations

from pathlib import Path

import pytest
from mmengine.config import Config

from xdet import model_zoo
from xdet.benchmarks.fragments import (
    PROTOCOLS,
    apply_benchmark,
    benchmark_root,
    expand_benchmarks,
    list_benchmarks,
    load_benchmark,
)
from xdet.model_zoo import find_config, list_models, load_config

FRAGMENT = """
data_root = 'data/mine/'
test_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageLabelFolderDataset',
        data_root=data_root,
        classes=data_root + 'names.txt',
        data_prefix=dict(img='images/{split}/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ResizeShortestEdge', scale=512, max_size=1024),
            dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
        ],
    ),
)
test_evaluator = [dict(type='SemanticIoU')]
benchmark = dict(title='Mine', split='val', headline=('semantic/mIoU',))
protocols = dict(
    official={
        'why': 'as published',
        'model': dict(tasks=dict(segmentation=dict(object_mask_threshold=0.4))),
        'test_dataloader.dataset.pipeline.1': dict(scale=640),
        'test_evaluator': [dict(type='SemanticIoU', classwise=True)],
    },
    recommended=dict(why='better'),
)
"""


@pytest.fixture
def fragment(tmp_path: Path) -> Path:
    path = tmp_path / 'mine.py'
    path.write_text(FRAGMENT)
    return path


@pytest.fixture(scope='module')
def model() -> Config:
    return load_config(find_config('xdecoder_focal-t_8xb4-50e_coco-panoptic'))


def test_only_what_tests_remains(model: Config, fragment: Path) -> None:
    cfg = apply_benchmark(model, str(fragment))
    assert cfg.test_dataloader.dataset.type == 'ImageLabelFolderDataset' and cfg.test_cfg.type == 'TestLoop'
    assert not {'train_dataloader', 'optim_wrapper', 'val_evaluator', 'param_scheduler'} & set(cfg)
    assert cfg.model.to_dict() == model.model.to_dict()
    assert model.test_dataloader.dataset.type == 'CocoPanopticSegDataset'


def test_protocols(model: Config, fragment: Path) -> None:
    official, recommended = (
        apply_benchmark(model, str(fragment), protocol) for protocol in ('official', 'recommended')
    )
    assert official.model.tasks.segmentation.object_mask_threshold == 0.4
    assert recommended.model.tasks.segmentation.get('object_mask_threshold') is None
    resize = official.test_dataloader.dataset.pipeline[1]
    assert (resize.type, resize.scale, resize.max_size) == ('ResizeShortestEdge', 640, 1024)
    assert official.test_evaluator == [dict(type='SemanticIoU', classwise=True)]
    assert load_benchmark(fragment).why('official') == 'as published'
    with pytest.raises(ValueError, match="protocol 'best' is unknown; accepted are recommended, official"):
        apply_benchmark(model, str(fragment), 'best')


@pytest.mark.parametrize('how', ['argument', 'name'])
def test_other_folder_and_split(model: Config, fragment: Path, tmp_path: Path, how: str) -> None:
    name = f'{fragment}' if how == 'argument' else f'{fragment}@{tmp_path}/photos'
    cfg = apply_benchmark(model, name, data_root=tmp_path / 'photos' if how == 'argument' else None)
    dataset = cfg.test_dataloader.dataset
    assert dataset.data_root == f'{tmp_path}/photos/' and dataset.classes == f'{tmp_path}/photos/names.txt'
    assert dataset.data_prefix.img == 'images/val/'
    assert load_benchmark('folder-semantic:train@a/photos').name == 'folder-semantic:train@photos'
    cfg = apply_benchmark(model, 'folder-semantic:train@a/photos')
    assert cfg.test_dataloader.dataset.data_prefix.img == 'images/train/'


def test_size_of_the_model(model: Config) -> None:
    cfg = apply_benchmark(load_config(find_config('xdecoder_focal-t')), 'captions')
    [_, resize, _] = cfg.test_dataloader.dataset.pipeline
    assert resize.scale == (224, 224) or list(resize.scale) == [224, 224]
    steps = apply_benchmark(model, 'folder-semantic').test_dataloader.dataset.pipeline
    assert [step.type for step in steps] == ['LoadXDetImage', 'ResizeShortestEdge', 'LoadSegments', 'PackXDetInputs']


def test_missing_task(model: Config) -> None:
    with pytest.raises(ValueError, match='benchmark captions needs caption, retrieval, .* its tasks are segmentation'):
        apply_benchmark(model, 'captions')


@pytest.mark.parametrize(
    ('old', 'new', 'message'),
    [
        ("data_root = 'data/mine/'", "data_root = 'data/mine'", "data_root 'data/mine' must end in /"),
        ("title='Mine', ", '', 'not a benchmark, it has no benchmark.title'),
        ('test_evaluator =', 'evaluator =', 'not a benchmark, it has no test_evaluator'),
        ('recommended=', 'ours=', "protocol 'ours' is unknown"),
        ("'model':", "'optim':", "protocol 'official' changes 'optim'; it may change model,"),
        ('segmentation=dict', 'segments=dict', "changes task 'segments'; the model's are segmentation"),
        ('pipeline.1', 'pipeline.7', "protocol 'official' of .* does not fit the config"),
        ('data_root =', 'data_root = =', 'cannot be read'),
    ],
)
def test_unusable_fragments(model: Config, fragment: Path, old: str, new: str, message: str) -> None:
    fragment.write_text(FRAGMENT.replace(old, new))
    with pytest.raises(ValueError, match=message) as caught:
        apply_benchmark(model, str(fragment), 'official')
    assert '\n' not in str(caught.value)


def test_names() -> None:
    assert {'coco-2017', 'ade20k-150', 'cityscapes', 'folder-semantic'} <= set(list_benchmarks())
    assert expand_benchmarks(['seginw-e*', 'coco-2017', 'seginw-elephants']) == [
        *list_benchmarks('seginw-e*'),
        'coco-2017',
    ]
    assert len(list_benchmarks('seginw-*')) == 25 and len(list_benchmarks('*-oracle')) == 7
    assert len(list_benchmarks('refcoco*')) == 9 and len(list_benchmarks()) == 65
    assert not set(list_models()) & set(list_benchmarks())
    with pytest.raises(FileNotFoundError, match="'ade20k' is neither .* did you mean .*ade20k-847"):
        load_benchmark('ade20k')


VARIANTS = """
variants = {
    '{name}-two': dict(
        data_root='data/two/',
        test_dataloader=dict(dataset=dict(_delete_=True, type='Other', data_root='data/two/', pipeline=[])),
        benchmark=dict(title='{title}, again', num_samples=2),
    ),
    'three': dict(benchmark=dict(title='Three')),
}
"""


def ship(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Path:
    """Make ``folder`` the installed package, with one benchmark file ``only-here``; returns the file."""
    shipped = folder / 'xdet' / '.mim' / 'configs'
    (shipped / 'xdecoder').mkdir(parents=True)
    (shipped / 'benchmarks').mkdir()
    (shipped / 'benchmarks' / 'only-here.py').write_text(text)
    monkeypatch.setattr(model_zoo, 'PACKAGE', folder / 'xdet')
    return shipped / 'benchmarks' / 'only-here.py'


def test_variants_of_a_fragment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ship(tmp_path, monkeypatch, FRAGMENT + VARIANTS)
    assert list_benchmarks() == ['only-here', 'only-here-two', 'three']
    one, two, three = map(load_benchmark, ('only-here', 'only-here-two@else/where', 'three'))
    assert [part.name for part in (one, two, three)] == ['only-here', 'only-here-two@where', 'three']
    assert [part.facts['title'] for part in (one, two, three)] == ['Mine', 'Mine, again', 'Three']
    assert one.cfg.test_dataloader.dataset.type == three.cfg.test_dataloader.dataset.type == 'ImageLabelFolderDataset'
    assert two.cfg.test_dataloader.dataset == dict(type='Other', data_root='data/two/', pipeline=[])
    assert (two.data_root, two.facts['num_samples'], one.facts.get('num_samples')) == ('else/where/', 2, None)
    assert load_benchmark(path).name == 'only-here'


def test_fragment_that_only_has_variants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ship(tmp_path, monkeypatch, FRAGMENT.replace("title='Mine', ", '') + VARIANTS)
    assert list_benchmarks() == ['only-here-two', 'three']
    with pytest.raises(ValueError, match=r'holds several benchmarks; name one of them: only-here-two, three'):
        load_benchmark(path)
    path.write_text(FRAGMENT + 'variants = dict(three=3)')
    with pytest.raises(ValueError, match="only-here.py: variant 'three' is no dict of changes"):
        load_benchmark('three')


def test_installed_wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = ship(tmp_path, monkeypatch, FRAGMENT)
    assert list_benchmarks() == ['only-here'] and benchmark_root() == path.parent
    assert load_benchmark('only-here').facts['title'] == 'Mine'


def model_for(tasks: tuple[str, ...]) -> Config:
    return load_config(find_config('xdecoder_focal-t_vqa' if 'vqa' in tasks else 'xdecoder_focal-t'))


@pytest.mark.parametrize('name', list_benchmarks())
def test_every_shipped_benchmark_applies(name: str, tmp_path: Path) -> None:
    benchmark = load_benchmark(name, tmp_path)
    assert benchmark.tasks and benchmark.facts['headline']
    model = model_for(benchmark.tasks)
    for protocol in PROTOCOLS:
        assert benchmark.why(protocol), f'{name} does not say why its {protocol} protocol is as it is'
        cfg = apply_benchmark(model, benchmark, protocol)
        own = str([cfg.test_dataloader.to_dict(), cfg.test_evaluator])
        assert benchmark.cfg.data_root not in own and str(tmp_path) in own
        assert '_delete_' not in str(cfg.to_dict()) and '{split}' not in own


@pytest.mark.parametrize('name', list_benchmarks())
def test_every_benchmark_says_what_its_folder_holds(name: str) -> None:
    assert load_benchmark(name).facts.get('layout')
