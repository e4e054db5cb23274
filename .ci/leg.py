"""A small selection of tests with other versions than those of `make test`, each leg in an environment of its own.

    python .ci/leg.py lowest       the lowest versions that the requirements allow
    python .ci/leg.py newest       the newest torch that the package index has
    python .ci/leg.py originals    mmengine, mmcv-lite, mmdet, mmsegmentation and mmpretrain in place of the
                                   maintained onedl-* distributions

To be started with the Python of the environment that `make test` made. What a leg does not replace is linked from
there, so that only what differs is downloaded.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / '.venv-legs'
CACHE = FOLDER / 'cache'  # on the same disk as the environments, so that these are links to it
# The newest mmdet and mmsegmentation refuse mmcv 2.2; mmengine uses pkg_resources, which setuptools 82 dropped.
ORIGINALS = ('mmengine', 'mmcv-lite<2.2', 'mmdet', 'mmsegmentation', 'mmpretrain', 'setuptools<81')
TESTS = ('pytest', 'pytest-randomly', 'hypothesis')
# Every upstream name we rely on, every config, the official network's numbers, one training and test, one inference.
SELECTION = (
    'tests/test_compat',
    'tests/test_configs.py',
    'tests/test_parity/test_golden.py',
    'tests/test_tools/test_train_test.py::test_training_writes_checkpoints_logs_and_metrics',
    'tests/test_tools/test_train_test.py::test_testing_repeats_the_metrics_and_writes_results',
    'tests/test_inference/test_tasks.py',
)


def main() -> int:
    leg = sys.argv[1] if len(sys.argv) == 2 else ''
    if leg not in ('lowest', 'newest', 'originals'):
        print(__doc__, file=sys.stderr)
        return 2
    shutil.rmtree(FOLDER / leg, ignore_errors=True)
    run(uv(), 'venv', '--quiet', '--python', sys.executable, FOLDER / leg)
    python = FOLDER / leg / 'bin' / 'python'
    install = (uv(), 'pip', 'install', '--quiet', '--python', python)
    if leg == 'lowest':
        pins = FOLDER / 'lowest.txt'
        lowest = ('--resolution', 'lowest-direct', '--output-file', pins)
        wanted = [ROOT / 'requirements' / f'{part}.txt' for part in ('runtime', 'openmmlab')]
        run(uv(), 'pip', 'compile', '--quiet', '--python', python, *lowest, *wanted)
        run(*install, '--requirement', pins, *TESTS)
        # Two distributions write cv2, in no certain order, and one of them needs libGL.
        [opencv] = re.findall(r'^opencv-python==(\S+)', pins.read_text(), re.MULTILINE)
        run(*install, '--no-deps', '--reinstall', f'opencv-python-headless=={opencv}')
    elif leg == 'newest':
        run(*install, 'torch', 'torchvision')
        link_rest(python, without=())
    else:
        run(*install, '--no-deps', *ORIGINALS)
        link_rest(python, without=('onedl-',))
    run(python, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *SELECTION, PYTHONPATH=str(ROOT))
    if os.environ.get('CI'):  # each leg has a torch of its own; together they are larger than many disks of CI
        for folder in (FOLDER / leg, CACHE):
            shutil.rmtree(folder)
    return 0


def uv() -> Path:
    """Path of uv, which is installed beside the legs when it is not there."""
    program = FOLDER / 'uv' / 'bin' / 'uv'
    if not program.exists():
        run(sys.executable, '-m', 'venv', FOLDER / 'uv')
        run(FOLDER / 'uv' / 'bin' / 'python', '-m', 'pip', 'install', '--quiet', 'uv')
    return program


def link_rest(python: Path, without: tuple[str, ...]) -> None:
    """Link the packages of this environment into another one, but those that it has itself.

    After this nothing may be installed there: it would be written through the links.
    """
    [target] = (python.parents[1] / 'lib').glob('python*/site-packages')
    own = {name(found) for found in metadata.distributions(path=[str(target)])}
    source = Path(sysconfig.get_path('purelib'))
    for found in metadata.distributions(path=[str(source)]):
        if name(found) in own or name(found).startswith(without) or name(found) == 'xdet':
            continue
        for entry in {file.parts[0] for file in found.files or () if file.parts[0] not in ('..', '__pycache__')}:
            if not (target / entry).exists():
                (target / entry).symlink_to(source / entry)


def name(distribution: metadata.Distribution) -> str:
    return distribution.metadata['Name'].lower().replace('_', '-')


def run(*command: str | Path, **variables: str) -> None:
    # No compiled operators of mmcv, as in the Makefile; one thread, as the tests of `make test`.
    environment = {**os.environ, 'MMCV_WITH_OPS': '', 'OMP_NUM_THREADS': '1', 'UV_CACHE_DIR': str(CACHE), **variables}
    status = subprocess.run([*map(str, command)], cwd=ROOT, env=environment).returncode
    if status != 0:
        raise SystemExit(f'{command[0]}: failed with status {status}' if status > 1 else status)


if __name__ == '__main__':
    sys.exit(main())
