"""Models as folders, in the layout of the Hugging Face hub: a config that is data, weights, a card.

A config in Python is a program, and nobody should have to run a stranger's program to use their weights. So a folder
holds the config as JSON, and what it names is built only if it is registered already, by xdet, by the OpenMMLab
packages, or by a package that the user imported.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from xdet.io.errors import cause
from xdet.io.reading import expand, read_json, shorten
from xdet.io.schema import require, shown
from xdet.registry import MODELS, TASKS, TRANSFORMS
from xdet.structures import Vocabulary
from xdet.version import __version__

CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'
CALIBRATION = 'model.calibration.json'
"""Beside the weights, as everywhere (docs/presence.md)."""
FORMAT = 1

_KEPT = ('model', 'inference_pipeline', 'task_pipelines')
_OTHER_SCOPES = re.compile(r'(mmdet|mmseg|mmpretrain|mmcv)\.[A-Za-z_]\w*')
_REPOSITORY = re.compile(r'[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*')


@dataclass(frozen=True)
class Pretrained:
    """What a folder says.

    Attributes:
        name (str): Of the config.
        cfg (Config): What to build.
        weights (Path): Their file.
        vocabulary (Vocabulary | None): Class names for users who name none.
        knows (str): What the model knows, in one line.
    """

    name: str
    cfg: Config
    weights: Path
    vocabulary: Vocabulary | None
    knows: str


def read_folder(folder: Path) -> Pretrained:
    """Read a folder; nothing is built yet.

    Raises:
        OSError: A file is missing or cannot be read.
        ValueError: It is of another format, or names something that is not registered.
    """
    path = folder / CONFIG
    content = read_json(path, max_bytes=1 << 26)
    where = str(path)
    if require(content, 'xdet_format', int, where) != FORMAT:
        raise ValueError(f"{path}: 'xdet_format' is {content['xdet_format']}; this version of xdet reads {FORMAT}")
    plain = {key: content[key] for key in _KEPT if key in content}
    require(content, 'model', dict, where)
    _check_types(plain, where)
    vocabulary = require(content, 'vocabulary', dict, where, None)
    weights = folder / WEIGHTS
    if not weights.is_file():
        raise FileNotFoundError(f'{weights} does not exist; a folder with {CONFIG} needs it')
    return Pretrained(
        name=require(content, 'name', str, where),
        cfg=Config(_tuples(plain)),
        weights=weights,
        vocabulary=None if vocabulary is None else _vocabulary(vocabulary, where),
        knows=require(content, 'knows', str, where, ''),
    )


def config_text(
    name: str,
    cfg: Config,
    transforms: Sequence[Mapping[str, Any]],
    vocabulary: Vocabulary | None,
    knows: str,
    answers: Mapping[str, Any],
) -> str:
    """Content of :data:`CONFIG`.

    Args:
        name (str): Of the config.
        cfg (Config): The whole config; what training and tests need is left out.
        transforms (Sequence[Mapping]): From an image to the network's input.
        vocabulary (Vocabulary, optional): Class names for users who name none.
        knows (str): What the model knows, in one line.
        answers (Mapping[str, Any]): By task, the answers that its config may read from a file.

    Raises:
        ValueError: The config holds what is no data, or reads files that would not be in the folder.
    """
    plain = {key: value for key, value in cfg.to_dict().items() if key in _KEPT}
    plain['inference_pipeline'] = [dict(step) for step in transforms]
    for part in ('backbone', 'text_encoder'):  # where they started from; they are in the weights now
        for key in ('weights', 'pretrained', 'init_cfg'):
            plain['model'].get(part, {}).pop(key, None)
    for task, values in answers.items():
        plain['model']['tasks'][task]['answers'] = values
    for keys, value in _walk(plain):
        if keys[-1] == 'clip_ensemble' and value is not None:
            raise ValueError(f'{name}: {".".join(keys)} has a file of its own, which is no part of a saved model')
    names = None if vocabulary is None else dict(names=vocabulary.names, is_thing=vocabulary.is_thing)
    if names is not None and vocabulary is not None and vocabulary.prompts:
        names['prompts'] = vocabulary.prompts
    content = dict(xdet_format=FORMAT, xdet=__version__, name=name, knows=knows, vocabulary=names, **plain)
    try:
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + '\n'
    except (TypeError, ValueError) as error:
        raise ValueError(f'{name}: the config holds what is no plain data ({cause(error)})') from None


def card(name: str, tasks: tuple[str, ...], knows: str, parameters: int, metadata: Mapping[str, Any]) -> str:
    """Content of :data:`CARD`, to be completed by whoever publishes the model.

    Args:
        name (str): Of the config.
        tasks (tuple[str, ...]): What the model does.
        knows (str): What it knows, in one line.
        parameters (int): Their number.
        metadata (Mapping[str, Any]): Entry of the model in the metafile, if it has one.
    """
    trained = metadata.get('Metadata', {}).get('Training Data', 'not stated')
    trained = ', '.join(trained) if isinstance(trained, (list, tuple)) else trained
    note = metadata.get('Note') or knows
    return f"""---
library_name: xdet
pipeline_tag: image-segmentation
tags: [xdet, x-decoder, open-vocabulary, {', '.join(tasks)}]
---

# {name}

An X-Decoder ([arXiv 2212.11270](https://arxiv.org/abs/2212.11270)) for [xdet](https://pypi.org/project/xdet).

| | |
|---|---|
| Tasks | {', '.join(tasks)} |
| Parameters | {parameters / 1e6:.1f} M |
| Training data | {trained} |
| What it knows | {note or 'not stated'} |
| Licence | to be added by the publisher; that of the training data counts too |

```python
from xdet.apis import XDecoderInferencer

model = XDecoderInferencer.from_pretrained('THIS_REPOSITORY')
model.segment('image.jpg', ['dog', 'sofa'])
```
"""


def find_folder(
    name: str | Path, revision: str | None = None, token: str | None = None, endpoint: str | None = None
) -> Path:
    """A local folder, or a copy of a repository of the hub.

    Args:
        name (str | Path): Path of a folder, or ``user/model``, which is downloaded into the cache of the hub's library.
        revision (str, optional): Branch, tag or commit of a repository.
        token (str, optional): For private repositories; None takes the one that ``hf auth login`` keeps.
        endpoint (str, optional): Address of another hub.

    Raises:
        FileNotFoundError: There is neither.
        OSError: The hub cannot be reached, or refuses.
        ValueError: The folder or repository holds no model of xdet.
    """
    folder = expand(name)
    if folder.is_dir():
        if not (folder / CONFIG).is_file():
            raise ValueError(f'{folder} has no {CONFIG}; accepted are folders of save_pretrained')
        return folder
    if not _REPOSITORY.fullmatch(str(name)):
        raise FileNotFoundError(f"'{shorten(str(name))}' is neither a folder nor the name of a repository (user/model)")
    from huggingface_hub import snapshot_download

    files = [CONFIG, WEIGHTS, CALIBRATION]
    try:
        copy = Path(
            snapshot_download(str(name), revision=revision, token=token, endpoint=endpoint, allow_patterns=files)
        )
    except Exception as error:  # of the network and of the hub, in many types
        raise OSError(f"repository '{name}' cannot be downloaded: {cause(error)}") from None
    if not (copy / CONFIG).is_file():
        raise ValueError(f"repository '{name}' has no {CONFIG}, so it holds no model of xdet")
    return copy


def push(
    folder: Path,
    name: str,
    private: bool = True,
    revision: str | None = None,
    token: str | None = None,
    endpoint: str | None = None,
    message: str = 'Model of xdet',
) -> str:
    """Upload a folder; the repository is made if it does not exist.

    Returns:
        str: Address of the commit.

    Raises:
        OSError: The hub cannot be reached, or refuses.
        ValueError: ``name`` is no name of a repository.
    """
    if not _REPOSITORY.fullmatch(name):
        raise ValueError(f"'{shorten(name)}' is no name of a repository; accepted are names such as user/model")
    from huggingface_hub import HfApi

    hub = HfApi(endpoint=endpoint, token=token)
    try:
        hub.create_repo(name, private=private, exist_ok=True)
        return str(hub.upload_folder(repo_id=name, folder_path=str(folder), revision=revision, commit_message=message))
    except Exception as error:  # of the network and of the hub, in many types
        raise OSError(f"'{name}' cannot be uploaded: {cause(error)}") from None


def _check_types(plain: Mapping[str, Any], where: str) -> None:
    """Refuse what is not registered: a registry would import whatever else a name says."""
    for registry in (MODELS, TASKS, TRANSFORMS):
        registry.import_from_location()
    for keys, value in _walk(plain):
        if keys[-1] != 'type':
            continue
        place = '.'.join(keys)
        if not isinstance(value, str):
            raise ValueError(f'{where}: {place} is {shown(value)}; it must be the name of a component')
        known = any(value in registry.module_dict for registry in _with_parents())
        if not known and not _OTHER_SCOPES.fullmatch(value):
            raise ValueError(
                f"{where}: {place} is '{shorten(value, 60)}', which nothing registered; if it belongs to a package of "
                'somebody else, import that first'
            )


def _with_parents() -> Iterator[Any]:
    for registry in (MODELS, TASKS, TRANSFORMS):
        while registry is not None:
            yield registry
            registry = registry.parent


def _walk(value: Any, keys: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All values below ``value`` with the keys that lead to them."""
    entries = (
        value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    )
    for key, entry in entries:
        yield (*keys, str(key)), entry
        yield from _walk(entry, (*keys, str(key)))


def _tuples(value: Any) -> Any:
    """JSON has no tuples; lists of numbers were some."""
    if isinstance(value, dict):
        return {key: _tuples(entry) for key, entry in value.items()}
    if isinstance(value, list):
        made = [_tuples(entry) for entry in value]
        return tuple(made) if made and all(isinstance(entry, (int, float, tuple)) for entry in made) else made
    return value


def _vocabulary(content: Mapping[str, Any], where: str) -> Vocabulary:
    where = f"{where}: 'vocabulary'"
    prompts = require(content, 'prompts', list, where, [])
    return Vocabulary(
        tuple(require(content, 'names', list, where)),
        tuple(map(bool, require(content, 'is_thing', list, where))),
        tuple(map(tuple, prompts)),
    )
