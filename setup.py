"""Packaging of xdet; tools are configured in ``pyproject.toml``.

``mim`` looks for configs, tools and the model index inside the installed distribution. A wheel therefore carries them
twice: in ``xdet/.mim``, where MMEngine's inferencers look, and in ``+xdet_mim/.mim``. The second exists because
onedl-mim 0.5.1 takes the folder of the first path in RECORD for the package. Installers sort RECORD, and the first path
would be that of the command, ``../../../bin/xdet``; a plus sign sorts before a full stop. No name that can be imported
does. Editable installs get neither copy: mim then uses the repository itself.
"""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
MIM_CONTENT = ('configs', 'demo', 'tools', 'model-index.yml')
NOT_PACKED = ('__pycache__', '*.pyc', 'node_modules', 'model')  # the last two: made by `make web`
MIM_ROOTS = ('xdet', '+xdet_mim')
EXTRAS = (
    *('completion', 'data', 'docs', 'edit', 'export', 'lora', 'mim', 'openmmlab'),
    *('page', 'ray', 'results', 'retrieval', 'serve', 'tests', 'track'),
)


class BuildWithMim(build_py):
    """Adds the files mim needs to what goes into a wheel."""

    def run(self) -> None:
        super().run()
        if getattr(self, 'editable_mode', False):
            return
        for root in MIM_ROOTS:
            self._copy_mim_content(Path(self.build_lib) / root / '.mim')

    def _copy_mim_content(self, target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for name in MIM_CONTENT:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, target / name, ignore=shutil.ignore_patterns(*NOT_PACKED))
            elif source.exists():
                shutil.copy2(source, target / name)


def version() -> str:
    """Version of ``xdet/version.py``, read without importing the package and so without its requirements."""
    text = (ROOT / 'xdet' / 'version.py').read_text(encoding='utf-8')
    match = re.search(r"^__version__ = '([^']+)'$", text, re.MULTILINE)
    if match is None:
        raise RuntimeError("xdet/version.py must contain a line __version__ = '<version>'")
    return match.group(1)


def requirements(name: str) -> list[str]:
    """Lines of ``requirements/<name>.txt`` with nested ``-r`` files read in."""
    lines = []
    for line in (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines():
        line = line.split('#')[0].strip()
        if line.startswith('-r '):
            lines += requirements(Path(line[3:].strip()).stem)
        elif line:
            lines.append(line)
    return lines


setup(
    name='xdet',
    version=version(),
    description='X-Decoder as registered, configurable components on MMEngine',
    long_description=(ROOT / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE', 'NOTICE'],
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    packages=find_packages(include=['xdet', 'xdet.*']),
    include_package_data=True,
    package_data={'xdet': ['py.typed']},
    python_requires='>=3.10,<3.13',
    # The least that some part of the package needs, so that `xdet[runtime]` runs exported models without torch. All
    # other extras bring the toolkit, `toolkit` nothing else.
    install_requires=[line for line in requirements('onnxruntime') if line.startswith(('numpy', 'pillow'))],
    extras_require={
        'runtime': requirements('onnxruntime'),
        'openvino': requirements('openvino'),
        'toolkit': requirements('runtime'),
        **{name: requirements('runtime') + requirements(name) for name in EXTRAS},
    },
    entry_points={'console_scripts': ['xdet = xdet.cli.main:main']},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
