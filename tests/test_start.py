"""Starting is quick and silent, and what only trains or only serves other libraries is not imported for it."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 6.0
"""Of processor time; 1.5 on an idle machine, more than 8 when all of mmdet, transformers and peft are imported."""


def run(*arguments: str) -> tuple[subprocess.CompletedProcess[str], float]:
    """A Python process and the processor time that it took."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=ROOT)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return result, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_importing_the_api_prints_nothing_and_loads_little() -> None:
    heavy = 'mmdet mmseg mmpretrain mmengine.model mmengine.runner open_clip peft scipy.optimize sklearn'
    heavy += ' torchvision transformers'
    code = f'import sys; from xdet.apis import XDecoderInferencer; print(*{set(heavy.split())} & sys.modules.keys())'
    result, seconds = run('-c', code)
    assert result.returncode == 0 and result.stdout.strip() == result.stderr == ''
    assert seconds < SECONDS


def test_importing_rooms_that_need_mmdet_prints_nothing() -> None:
    """Their packages announce what they lack and nobody needs, OneDL for one."""
    result, _ = run('-c', 'import xdet.export.exporting, xdet.evaluation, xdet.models.pixel_decoders.deformable')
    assert result.returncode == 0 and result.stdout == result.stderr == ''


@pytest.mark.parametrize('tool', ['train.py', 'test.py', 'zeroshot_suite.py', 'analysis_tools/browse_predictions.py'])
def test_help_of_tools_is_quick_and_silent(tool: str) -> None:
    result, seconds = run(f'tools/{tool}', '--help')
    assert result.returncode == 0 and result.stdout.startswith('usage:') and not result.stderr
    assert seconds < SECONDS


_BLOCKER = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('mmdet', 'mmseg', 'mmpretrain') or name.startswith('mmengine.runner'):
            raise ImportError('blocked: ' + name)
sys.meta_path.insert(0, Blocker())
import xdet.models, xdet.tasks
from xdet.models import DaViT, FocalNet, SegmentationLoss, XDecoder, XDecoderTextEncoder, XDecoderTransformerDecoder
from xdet.models import postprocess
from xdet.structures import XDetDataSample
"""


def test_models_and_tasks_need_neither_a_runner_nor_mmdet() -> None:
    result, _ = run('-c', _BLOCKER)
    assert result.returncode == 0, result.stderr


def test_registries_name_every_module_that_registers() -> None:
    """A component in a module that no registry names would be found only by those who happened to import it."""
    code = """
import pkgutil, importlib
import xdet, xdet.registry as r
from xdet.compat.quiet import quiet_imports
registries = [x for x in vars(r).values() if type(x).__name__ == 'Registry' and x.scope == 'xdet']
with quiet_imports():
    for x in registries:
        x.import_from_location()
before = {x.name: set(x.module_dict) for x in registries}
for module in pkgutil.walk_packages(xdet.__path__, 'xdet.'):
    if module.name.split('.')[1] in ('assets', 'analysis'):
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:  # of what an extra would have brought
        assert not (error.name or '').startswith('xdet'), error
for x in registries:
    print(*sorted(set(x.module_dict) - before[x.name]))
"""
    result, _ = run('-c', code)
    assert result.returncode == 0, result.stderr
    assert not result.stdout.strip()
