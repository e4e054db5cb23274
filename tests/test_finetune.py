"""Fine-tuning recipes: every trained parameter learns, and the tutorial of docs/finetune.md works to the letter."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from tiny.data import write_pictures
from tiny.forked import start_launcher
from tiny.ranks import needs_ranks
from tiny.tools import CONFIG, data_options, run_script, run_tool

from xdet.compat.checkpoint import read_checkpoint
from xdet.engine.optim.trainable import select_trainable
from xdet.model_zoo import find_config
from xdet.registry import MODELS

ROOT = Path(__file__).resolve().parents[1]
LANGUAGE = ('refseg', 'caption', 'retrieval', 'vqa')


@pytest.mark.parametrize('task', LANGUAGE)
def test_every_trained_parameter_has_a_gradient(task: str) -> None:
    """Or the config says that some have none: several processes would otherwise wait for them in vain."""
    cfg = Config.fromfile(find_config(f'xdecoder_focal-nano_finetune-{task}'))
    cfg.train_dataloader.batch_size = 2
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    select_trainable(model, cfg.get('trainable', ('*',)), cfg.get('frozen', ()))
    batch = next(iter(Runner.build_dataloader(cfg.train_dataloader, seed=0)))
    batch = model.train().data_preprocessor(batch, training=True)
    losses = model(**batch, mode='loss')
    sum(loss for name, loss in losses.items() if 'loss' in name).backward()
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    without = {name for name, parameter in trained.items() if parameter.grad is None}
    assert bool(without) == cfg.get('find_unused_parameters', False), without
    assert not {
        name for name in without if name.startswith(('tasks.', 'decoder.layers', 'decoder.query', 'text_encoder.t'))
    }


def steps(section: str) -> list[list[str]]:
    """Commands of a section of the document, in order."""
    text = (ROOT / 'docs' / 'finetune.md').read_text(encoding='utf-8')
    [body] = re.findall(rf'^## {section}.*?\n(.*?)^## ', text, re.MULTILINE | re.DOTALL)
    return [shlex.split(line) for line in re.findall(r'^    ((?:python|sed) .*)$', body, re.MULTILINE)]


def test_tutorial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """Every command of the tutorial, as written but for the numbers of pictures and iterations."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'xdet').symlink_to(ROOT / 'xdet')
    shorter = {'400': '8', '50': '3'}
    scores = []
    for program, *arguments in steps('Ten minutes'):
        arguments = [shorter.get(argument, argument).replace('iter_200', 'iter_8') for argument in arguments]
        if program == 'sed':
            subprocess.run([program, *arguments], check=True)
            continue
        script, *arguments = arguments
        if script == 'tools/train.py':
            arguments += ['--cfg-options', 'train_cfg.max_iters=8', 'train_dataloader.batch_size=1']
        capsys.readouterr()
        run_script(script, *arguments)
        if script == 'tools/test.py':
            scores += re.findall(r'panoptic/PQ: ([\d.]+)', capsys.readouterr().out)
    assert len(scores) == 2 and scores[0] != scores[1], 'training changed nothing'
    names = json.loads((tmp_path / 'data/my_data/annotations/panoptic_val.json').read_text())['categories']
    assert {'red disc', 'red box', 'red star', 'sky'} <= {category['name'] for category in names}
    trained = read_checkpoint(tmp_path / 'work_dirs/xdecoder_focal-nano_finetune-coco/iter_8.pth')
    assert 'red disc' in trained['meta']['dataset_meta']['classes']
    assert {path.name for path in (tmp_path / 'outputs/finetuned').iterdir()} >= {'preds', 'vis'}


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(tmp_path_factory.mktemp('pictures') / 'data', number=7)


HEADS = "trainable=['decoder.class_embed','decoder.mask_embed']"


def test_lora_is_resumed_and_merged(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    pytest.importorskip('peft', reason='peft is not installed (pip install -e ".[lora]")')
    own = ['lora.r=2', 'lora.dropout=0.1', "trainable=['decoder.class_embed']"]
    whole, cut = tmp_path / 'whole', tmp_path / 'cut'
    run_tool('train', CONFIG, '--work-dir', whole, *data_options(data, *own))
    assert 'LoRA adapters of rank 2 on 8 linear layers' in capsys.readouterr().out
    run_tool('train', CONFIG, '--work-dir', cut, *data_options(data, *own, 'train_cfg.max_iters=3'))
    run_tool('train', CONFIG, '--work-dir', cut, '--resume', *data_options(data, *own))
    weights = [read_checkpoint(folder / 'iter_6.pth')['state_dict'] for folder in (whole, cut)]
    assert weights[0].keys() == weights[1].keys()
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
    early = read_checkpoint(whole / 'iter_3.pth')['state_dict']
    changed = {name for name, value in weights[0].items() if not torch.equal(value, early[name])}
    assert changed == {name for name in early if '.lora_' in name or name == 'decoder.class_embed'}

    merged = tmp_path / 'merged.safetensors'
    run_tool('model_converters/merge_lora', CONFIG, whole / 'iter_6.pth', merged, '--cfg-options', *own[:2])
    run_tool('test', CONFIG, whole / 'iter_6.pth', '--work-dir', whole, *data_options(data, *own[:2]))
    run_tool('test', CONFIG, merged, '--work-dir', cut, *data_options(data))
    one, two = (json.loads(max(folder.glob('*/*.json')).read_text()) for folder in (whole, cut))
    assert one['semantic/mIoU'] == pytest.approx(two['semantic/mIoU'], abs=0.05) and one['semantic/mIoU'] > 0


@needs_ranks
def test_two_processes_train_a_part(data: Path, tmp_path: Path) -> None:
    """DDP neither waits for frozen parameters nor changes them."""
    options = data_options(data, HEADS, 'train_cfg.val_interval=9', 'find_unused_parameters=False')
    process = start_launcher('dist_train.sh', CONFIG, '2', '--work-dir', tmp_path, *options)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output[-4000:]
    assert re.search(r'trains 0.00419 of [\d.]+ M parameters \(.*\): decoder.class_embed, decoder.mask_embed', output)
    first, last = (read_checkpoint(tmp_path / f'iter_{i}.pth')['state_dict'] for i in (3, 6))
    changed = {name for name, value in last.items() if not torch.equal(value, first[name])}
    assert changed == {name for name in last if name.startswith(('decoder.class_embed', 'decoder.mask_embed.'))}
