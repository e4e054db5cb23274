"""What a bug report should say about the machine: versions, devices, optional packages, the weights in the package."""

from __future__ import annotations

import argparse
import os
import platform
from importlib import metadata
from typing import Any

from xdet.cli.errors import program
from xdet.cli.parsing import Parser
from xdet.io.terminal import tell
from xdet.version import __version__

PACKAGES = (
    'torch',
    'torchvision',
    'onedl-mmengine',
    'onedl-mmcv',
    'onedl-mmdetection',
    'open_clip_torch',
    'timm',
    'numpy',
    'opencv-python',
    'pillow',
    'pycocotools',
    'safetensors',
    'scipy',
)
OPTIONAL = dict(
    data=('textblob', 'pyarrow'),
    edit=('diffusers', 'transformers'),
    export=('onnx', 'onnxscript', 'onnxruntime'),
    lora=('peft',),
    mim=('onedl-mim',),
    openmmlab=('onedl-mmsegmentation', 'onedl-mmpretrain'),
    openvino=('openvino',),
    page=('gradio',),
    ray=('ray', 'pyarrow'),
    retrieval=('faiss-cpu',),
    results=('supervision',),
    runtime=('onnxruntime', 'ftfy', 'regex'),
    serve=('fastapi', 'uvicorn', 'python-multipart'),
    completion=('shtab',),
    track=('tensorboard', 'wandb'),
)
"""Packages of the extras, ``pip install "xdet[NAME]"``."""


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description='Report versions, devices and packages, for bug reports.')
    parser.add_argument('--json', action='store_true', help='for programs')
    return parser


def collect() -> dict[str, Any]:
    """The facts, JSON-ready. Nothing in them names the user: no folders of theirs, no host, no variables."""
    import torch

    from xdet.model_zoo import EMBEDDED, list_models

    cuda = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return dict(
        xdet=__version__,
        python=platform.python_version(),
        system=f'{platform.system()} {platform.release()} {platform.machine()}',
        cpus=len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
        threads=torch.get_num_threads(),
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version() if torch.backends.cudnn.is_available() else None,
        devices=cuda or (['mps'] if torch.backends.mps.is_available() else ['cpu only']),
        packages={name: _version(name) for name in PACKAGES},
        extras={extra: {name: _version(name) for name in names} for extra, names in OPTIONAL.items()},
        shipped_models=len(list_models()),
        embedded_models=[name if model.weights.is_file() else f'{name} (missing)' for name, model in EMBEDDED.items()],
    )


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def run(args: argparse.Namespace) -> int:
    """Print the facts; returns the exit code, 2 when a package that xdet needs is missing."""
    facts = collect()
    if args.json:
        import json

        tell(*json.dumps(facts, indent=1).split('\n'))
    else:
        for name, value in facts.items():
            if name == 'packages':
                tell(*(f'{package:<20}{version or "MISSING"}' for package, version in value.items()))
            elif name == 'extras':
                for extra, packages in value.items():
                    told = ', '.join(f'{package} {version or "not installed"}' for package, version in packages.items())
                    tell(f'{f"extra {extra}":<20}{told}')
            else:
                tell(f'{name.replace("_", " "):<20}{", ".join(value) if isinstance(value, list) else value}')
    missing = [name for name, version in facts['packages'].items() if version is None]
    if missing:
        tell(f'error: missing: {", ".join(missing)}; reinstall xdet', error=True)
    return 2 if missing else 0


main = program(parser, run)
