"""tools/zeroshot_suite.py and tools/test.py --benchmark on pictures with every kind of annotation."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from tiny.own_data import OWN_BENCHMARKS, write_own_data
from tiny.tools import CONFIG, ROOT, run_tool, start

from xdet.registry import MODELS

ORACLE = ROOT / 'tests' / 'tiny' / 'oracle_run.py'
SEGMENTATION = ('folder-semantic', 'coco-panoptic')
CAPTIONS = """
_base_ = 'xdet::benchmarks/captions.py'
test_evaluator = [dict(type='CaptionQuality', tokenizer='python'), dict(type='RetrievalRecall')]
"""


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_own_data(tmp_path_factory.mktemp('own') / 'pictures')


@pytest.fixture(scope='module')
def oracle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp('oracle') / 'oracle.pth'
    torch.save(dict(state_dict=dict(weight=torch.zeros(1))), path)
    return path


@pytest.fixture(scope='module')
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the tiny model."""
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    init_default_scope('xdet')
    torch.manual_seed(0)
    model = MODELS.build(Config.fromfile(str(CONFIG)).model)
    model.init_weights()
    path = tmp_path_factory.mktemp('tiny') / 'tiny.pth'
    torch.save(dict(state_dict=model.state_dict()), path)
    return path


def suite(config: Path, weights: Path, out: Path, data: Path, *more: str | Path, benchmarks=OWN_BENCHMARKS) -> dict:
    """Run the suite and return ``results.json``."""
    names = [f'{name}@{data}' for name in benchmarks]
    run_tool('zeroshot_suite', config, weights, '--out', out, '--work-dir', out / 'work', '--benchmarks', *names, *more)
    return json.loads((out / 'results.json').read_text())


def headline(results: dict) -> dict[str, float]:
    return {name: row['metrics'][name] for row in results['results'] for name in row['headline']}


def error_line(*arguments: str | Path) -> str:
    with pytest.raises(SystemExit) as info:
        run_tool('zeroshot_suite', *arguments)
    message = str(info.value)
    assert message.startswith('error: ') and '\n' not in message
    return message


def test_ground_truth_scores_100_and_shuffled_does_not(data: Path, oracle: Path, tmp_path: Path) -> None:
    (tmp_path / 'captions.py').write_text(CAPTIONS)  # Java would take its time
    names = [tmp_path / 'captions.py' if name == 'captions' else name for name in OWN_BENCHMARKS]
    options = ('--cfg-options', f'model.instances={data / "annotations/instances_val.json"}')
    right = headline(suite(ORACLE, oracle, tmp_path / 'right', data, *options, benchmarks=names))
    assert set(right) >= {
        'semantic/mIoU', 'panoptic/PQ', 'panoptic/PQ_th', 'panoptic/PQ_st', 'instance/AP', 'instance/box_AP',
        'referring/cIoU', 'referring/mIoU', 'caption/CIDEr-D_py', 'retrieval/image_to_text_R@1',
        'retrieval/text_to_image_R@1', 'vqa/accuracy',
    }  # fmt: skip
    best = {name: 1000.0 if 'CIDEr' in name else 100.0 for name in right}
    assert right == pytest.approx(best)
    wrong = headline(suite(ORACLE, oracle, tmp_path / 'wrong', data, *options, 'model.shuffled=True', benchmarks=names))
    assert all(wrong[name] < 0.9 * best[name] for name in ('instance/AP', 'referring/mIoU', 'vqa/accuracy')), wrong
    assert all(wrong[name] < best[name] for name in best), wrong


def test_table_names_what_was_measured(data: Path, tiny: Path, tmp_path: Path) -> None:
    results = suite(CONFIG, tiny, tmp_path, data, benchmarks=SEGMENTATION)
    [first, second] = results['results']
    assert first['benchmark'] == 'folder-semantic@pictures' and first['num_samples'] == 4
    assert len(first['checkpoint_sha256']) == 64 and len(first['config_hash']) == 12
    assert first['config_hash'] != second['config_hash']
    assert first['protocol'] == 'recommended' and first['seconds'] > 0
    assert {'xdet', 'torch', 'mmengine', 'mmdet'} <= set(first['versions'])
    table = (tmp_path / 'results.md').read_text()
    assert first['checkpoint_sha256'] in table and 'folder-semantic@pictures' in table and 'mIoU' in table


def test_finished_benchmarks_are_kept(data: Path, tiny: Path, tmp_path: Path, capsys) -> None:
    before = suite(CONFIG, tiny, tmp_path, data, benchmarks=SEGMENTATION[:1])
    record = tmp_path / 'folder-semantic@pictures.recommended.json'
    stamp = record.stat().st_mtime_ns
    after = suite(CONFIG, tiny, tmp_path, data, benchmarks=SEGMENTATION)
    assert record.stat().st_mtime_ns == stamp and 'finished before: folder-semantic@pictures' in capsys.readouterr().out
    assert after['results'][0] == before['results'][0] and len(after['results']) == 2
    suite(CONFIG, tiny, tmp_path, data, '--force', benchmarks=SEGMENTATION[:1])
    assert record.stat().st_mtime_ns != stamp
    arguments = (CONFIG, tiny, '--out', tmp_path, '--benchmarks', f'folder-semantic@{data}')
    assert 'use --force' in error_line(*arguments, '--cfg-options', 'model.tasks.segmentation.overlap_threshold=0.5')
    record.write_text('{}')
    assert 'not a record' in error_line(*arguments)


def test_missing_data_are_listed_before_anything_runs(data: Path, tiny: Path, tmp_path: Path, capsys) -> None:
    broken = tmp_path / 'broken'
    shutil.copytree(data, broken)
    shutil.rmtree(broken / 'labels')
    (broken / 'val/2.png').unlink()
    names = [f'folder-semantic@{broken}', f'coco-panoptic@{broken}', f'coco-panoptic:test@{data}', 'captions@nowhere']
    out = tmp_path / 'out'
    message = error_line(CONFIG, tiny, '--out', out, '--benchmarks', f'folder-semantic@{data}', *names)
    assert '4 of them cannot run' in message and '--skip-missing' in message
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith('missing: ')]
    assert len(lines) == 4 and not out.exists()
    assert 'labels/val: no such folder' in lines[0]
    assert '1 listed file(s) do not exist, the first is' in lines[1] and '2.png' in lines[1]
    assert 'panoptic_test.json: annotation file does not exist' in lines[2]
    assert 'benchmark captions@nowhere needs caption, retrieval, which this model has no task for' in lines[3]
    results = suite(CONFIG, tiny, out, data, f'folder-semantic@{broken}', '--skip-missing', benchmarks=SEGMENTATION)
    assert len(results['results']) == 2 and list(results['not_run']) == ['folder-semantic@broken']
    assert 'Not run:' in (out / 'results.md').read_text()


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (
            ['--benchmarks', 'ade20k'],
            "benchmark 'ade20k' is neither .* nor a shipped benchmark; did you mean .*ade20k-847",
        ),
        (['--benchmarks', 'zz*'], "no benchmark matches 'zz"),
        (['--benchmarks', 'folder-semantic@a/x', 'folder-semantic@b/x'], 'two benchmarks are called'),
        (['--benchmarks', 'ade20k-150:train'], "ade20k-150 has only the split 'validation'"),
    ],
)
def test_mistakes_end_in_one_line(tiny: Path, arguments: list, message: str) -> None:
    assert re.search(message, error_line(CONFIG, tiny, *arguments))


def test_missing_checkpoint(data: Path, tmp_path: Path) -> None:
    assert 'none.pth' in error_line(CONFIG, tmp_path / 'none.pth', '--benchmarks', f'folder-semantic@{data}')


def test_benchmarks_of_the_test_tool(data: Path, tiny: Path, tmp_path: Path, capsys) -> None:
    names = [f'{name}@{data}' for name in SEGMENTATION]
    run_tool('test', CONFIG, tiny, '--work-dir', tmp_path, '--benchmark', *names, '--protocol', 'official')
    lines = [line for line in capsys.readouterr().out.splitlines() if '(official): ' in line]
    assert [line.split()[0] for line in lines] == ['folder-semantic@pictures', 'coco-panoptic@pictures']
    results = suite(CONFIG, tiny, tmp_path / 'out', data, benchmarks=SEGMENTATION)
    assert f'panoptic/PQ {headline(results)["panoptic/PQ"]:.4f}' in lines[1]
    with pytest.raises(SystemExit, match='one benchmark at a time'):
        run_tool('test', CONFIG, tiny, '--benchmark', *names, '--show-dir', 'pictures')


def test_list(capsys) -> None:
    run_tool('zeroshot_suite', '--list')
    assert {'coco-2017', 'ade20k-150', 'folder-semantic'} <= set(capsys.readouterr().out.split())


def test_page_is_current() -> None:
    run_tool('misc/make_benchmark_table', '--check')


@pytest.mark.slow
def test_two_processes_give_the_same_numbers(data: Path, tiny: Path, tmp_path: Path) -> None:
    alone = suite(CONFIG, tiny, tmp_path / 'one', data, benchmarks=SEGMENTATION)
    names = [f'{name}@{data}' for name in SEGMENTATION]
    options = ['--out', tmp_path / 'two', '--work-dir', tmp_path / 'work', '--num-workers', '0']
    process = start(
        *['bash', 'tools/dist_test.sh', CONFIG, tiny, '2', *options, '--benchmarks', *names],
        SCRIPT='zeroshot_suite',
    )
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0, output[-4000:]
    together = json.loads((tmp_path / 'two' / 'results.json').read_text())
    assert [row['world_size'] for row in together['results']] == [2, 2]
    assert headline(together) == headline(alone)
