import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from tiny.tools import run_tool

from xdet.compat.checkpoint import known_words_of, read_checkpoint, read_state_dict
from xdet.structures import KnownWords, Vocabulary

ROOT = Path(__file__).resolve().parents[2]
OFFICIAL = {
    'module.backbone.norm0.bias': torch.ones(3),
    'module.sem_seg_head.predictor.class_embed': torch.randn(2, 2),
    'module.criterion.empty_weight': torch.ones(3),
}


@pytest.fixture
def run():
    """Run a converter with arguments, in this process."""
    return lambda tool, *arguments: run_tool(f'model_converters/{tool}', *arguments)


def test_there_and_back(run, tmp_path):
    torch.save(OFFICIAL, tmp_path / 'official.pt')
    run('official_to_xdet', tmp_path / 'official.pt', tmp_path / 'ours.safetensors')
    assert set(read_state_dict(tmp_path / 'ours.safetensors')) == {'backbone.norm0.bias', 'decoder.class_embed'}
    run('xdet_to_official', tmp_path / 'ours.safetensors', tmp_path / 'back.pt', '--dtype', 'float16')
    back = torch.load(tmp_path / 'back.pt', weights_only=True)
    expected = OFFICIAL['module.sem_seg_head.predictor.class_embed']
    assert torch.equal(back['sem_seg_head.predictor.class_embed'], expected.half())


@pytest.mark.parametrize('tool', ['xdet_to_official', 'publish_model'])
def test_checkpoints_of_a_training(tool, tmp_path):
    """They hold the class names as well; in a process of its own, where nothing else has been imported."""
    meta = dict(dataset_meta=dict(vocabulary=Vocabulary(('dog',), (True,))))
    weights = {'decoder.class_embed': torch.ones(2, 2), 'backbone.norm0.bias': torch.zeros(3)}
    torch.save(dict(meta=meta, state_dict=weights, optimizer={}), tmp_path / 'iter_1.pth')
    script = ROOT / 'tools' / 'model_converters' / f'{tool}.py'
    command = [sys.executable, script, tmp_path / 'iter_1.pth', tmp_path / 'out.pth']
    result = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, env={**os.environ, 'PYTHONPATH': str(ROOT)}
    )
    assert result.returncode == 0, result.stderr
    written = torch.load(tmp_path / 'out.pth', weights_only=True)
    assert len(written) == 2 and all(isinstance(value, torch.Tensor) for value in written.values())
    if tool == 'publish_model':
        assert set(written) == set(weights) and written['decoder.class_embed'].dtype == torch.float16


@pytest.mark.parametrize(
    ('tool', 'content', 'reason'),
    [
        ('official_to_xdet', {'decoder.class_embed': torch.ones(1)}, 'not an official X-Decoder checkpoint'),
        ('official_to_xdet', OFFICIAL | {'module.seem.weight': torch.ones(1)}, 'seem.weight'),
        ('xdet_to_official', OFFICIAL, 'already has the official names'),
    ],
)
def test_wrong_files_end_in_one_line(tool, content, reason, run, tmp_path):
    torch.save(content, tmp_path / 'source.pt')
    with pytest.raises(SystemExit, match=reason) as caught:
        run(tool, tmp_path / 'source.pt', tmp_path / 'target.pt')
    assert str(tmp_path / 'source.pt') in str(caught.value) and '\n' not in str(caught.value)
    assert not (tmp_path / 'target.pt').exists()


def test_published_weights_keep_the_training_vocabulary(run, tmp_path):
    known = KnownWords(('dog',), frozenset(['the']))
    meta = dict(known_words=known.to_plain())
    torch.save(dict(meta=meta, state_dict={'decoder.class_embed': torch.ones(2, 2)}), tmp_path / 'iter_1.pth')
    run('publish_model', tmp_path / 'iter_1.pth', tmp_path / 'out.safetensors')
    run('publish_model', tmp_path / 'out.safetensors', tmp_path / 'again.pth')
    for name in ('out.safetensors', 'again.pth'):
        assert known_words_of(read_checkpoint(tmp_path / name), name) == known
