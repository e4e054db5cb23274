"""Finds configs by name, in a checkout as well as in an installed wheel, and the models that come with the package."""

from __future__ import annotations

import difflib
import fnmatch
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from mmengine.config import Config, ConfigDict

from xdet import config_references, pretrained
from xdet.io.errors import cause
from xdet.io.reading import expand, shorten
from xdet.scenes.description import VOCABULARY as SCENES
from xdet.scenes.words import WORLD
from xdet.structures import KnownWords, Vocabulary

PACKAGE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class EmbeddedModel:
    """A small model whose weights lie in the package.

    Attributes:
        name (str): Short name, accepted wherever the name of a config is.
        config (str): Name of its config.
        file (str): Name of the file of its weights, in ``assets/``.
        vocabulary (Vocabulary): Class names that it was trained with; for users who name none.
        knows (str): What it knows and where it means little, in one line.
        elsewhere (str): What to use there.
        known_words (KnownWords | None): Training vocabulary, where the file does not hold it.
    """

    name: str
    config: str
    file: str
    vocabulary: Vocabulary
    knows: str
    elsewhere: str
    known_words: KnownWords | None = None

    @property
    def weights(self) -> Path:
        """The file."""
        return PACKAGE / 'assets' / self.file

    def found_weights(self) -> Path:
        """The file.

        Raises:
            FileNotFoundError: It is missing.
        """
        if not self.weights.is_file():
            raise FileNotFoundError(
                f"the embedded weights {self.weights} of model '{self.name}' are missing; reinstall xdet or give "
                'weights'
            )
        return self.weights


_PHOTO_CLASSES = (
    *('airplane', 'bicycle', 'bird', 'boat', 'bottle', 'bus', 'car', 'cat', 'chair', 'cow', 'dining table', 'dog'),
    *('horse', 'motorcycle', 'person', 'potted plant', 'sheep', 'sofa', 'train', 'tv'),
)

EMBEDDED = {
    model.name: model
    for model in (
        EmbeddedModel(
            name='photos',
            config='xdecoder_lite0-nano_joint-photos',
            file='embedded_photos.safetensors',
            vocabulary=Vocabulary(_PHOTO_CLASSES, (True,) * len(_PHOTO_CLASSES)),
            knows='this small model knows the 20 classes of PASCAL VOC in photographs, above all cats, dogs, horses '
            'and people; what else an image shows is missed or gets one of their names',
            elsewhere='Other things need official weights (docs/inference.md) or a training (docs/own_data.md)',
        ),
        EmbeddedModel(
            name='scenes',
            config='xdecoder_focal-nano_scenes-joint',
            file='embedded_default.safetensors',  # named when it was the only one; scripts know it by this name
            vocabulary=SCENES,
            knows='this small model knows generated scenes only, so what it says means little on photographs',
            elsewhere='Photographs need another model (docs/inference.md)',
            known_words=KnownWords(SCENES.names, phrase_words=WORLD),  # all words of the generator
        ),
    )
}
"""The models that come with the package, by short name."""

DEFAULT_MODEL = 'photos'
"""Short name of the one that is used when no model is named."""

_SCOPE = 'xdet::'
_PARTS = {'_base_', 'benchmarks'}


@dataclass(frozen=True)
class ModelSpec:
    """What to build and what to load into it.

    Attributes:
        name (str): For messages.
        cfg (Config): The whole config.
        weights (str | None): Path or URL; None leaves the random initialisation.
        embedded (EmbeddedModel | None): Whose weights these are, if they come with the package.
        vocabulary (Vocabulary | None): Class names for users who name none, where they are known before the weights.
        knows (str): What the model knows, in one line.
    """

    name: str
    cfg: Config
    weights: str | None
    embedded: EmbeddedModel | None = None
    vocabulary: Vocabulary | None = None
    knows: str = ''


def config_root() -> Path:
    """Folder of the shipped configs: ``configs/`` of the checkout, else the copy inside the installed package.

    Raises:
        FileNotFoundError: Neither is there.
    """
    candidates = (PACKAGE.parent / 'configs', PACKAGE / '.mim' / 'configs')
    for root in candidates:
        if (root / 'xdecoder').is_dir():
            return root
    raise FileNotFoundError(f'no shipped configs in {" or ".join(map(str, candidates))}; reinstall xdet')


def shipped_file(*parts: str) -> Path:
    """A file or folder beside the shipped configs, in a checkout as well as in a wheel: ``('demo', 'demo_scene.png')``.

    Raises:
        FileNotFoundError: It is not there.
    """
    path = config_root().parent.joinpath(*parts)
    if not path.exists():
        raise FileNotFoundError(f'{path} is missing; reinstall xdet')
    return path


def list_models(pattern: str = '*') -> list[str]:
    """Names of the shipped configs that match a shell pattern such as ``'*focal-t*'``, sorted."""
    return sorted(name for name in _shipped() if fnmatch.fnmatch(name, pattern))


def find_config(model: str) -> Path:
    """Path of a config.

    Args:
        model (str): Path of a config file, or the name of a shipped one in any of the forms ``xdecoder_focal-t``,
            ``xdecoder/xdecoder_focal-t`` and ``xdet::xdecoder/xdecoder_focal-t``, with or without ``.py``; or the short
            name of an embedded model (:data:`EMBEDDED`).

    Raises:
        FileNotFoundError: No such file and no such name; close names are suggested.
        ValueError: It is no path.
    """
    path = expand(model)
    try:
        if path.is_file():
            return path
    except OSError:  # longer than a name can be
        pass
    if model in EMBEDDED:
        model = EMBEDDED[model].config
    name = Path(model.removeprefix(_SCOPE)).name.removesuffix('.py')
    shipped = _shipped()
    wanted = model.removeprefix(_SCOPE).removesuffix('.py')
    if name in shipped and shipped[name].with_suffix('').as_posix().endswith(f'/{wanted}'):
        return shipped[name]
    names = [*EMBEDDED, *sorted(shipped)]
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.4)
    hint = f'did you mean {" or ".join(close)}?' if close else f'shipped models: {", ".join(names)}'
    raise FileNotFoundError(f"model '{shorten(model)}' is neither a config file nor a shipped model; {hint}")


def resolve_model(
    model: str | Path | Config | ConfigDict | None, weights: str | Path | None, random_weights: bool
) -> ModelSpec:
    """Decide which config and weights a user means.

    Args:
        model (str | Path | Config | None): See :func:`find_config`; or a folder of ``save_pretrained``
            (:mod:`xdet.pretrained`), which brings its weights; None is :data:`DEFAULT_MODEL`.
        weights (str | Path | None): Path or URL of a checkpoint; None are those in the package, which only embedded
            models have.
        random_weights (bool): Leave the model untrained (tests, timing).

    Raises:
        FileNotFoundError: Unknown model, or the embedded weights are missing.
        TypeError: ``model`` is of another type.
        ValueError: No weights for a model that is not embedded, or weights and ``random_weights``.
    """
    if weights is not None and random_weights:
        raise ValueError('give either weights or random_weights=True, not both')
    if model is None and weights is not None:
        raise ValueError(
            f"weights '{weights}' were given without a model; say which config they belong to, "
            f'for example model={_example()!r}'
        )
    if isinstance(model, (str, Path)) and (expand(model) / pretrained.CONFIG).is_file():
        saved = pretrained.read_folder(expand(model))
        own = None if random_weights else str(weights or saved.weights)
        return ModelSpec(saved.name, saved.cfg, own, vocabulary=saved.vocabulary, knows=saved.knows)
    if isinstance(model, (Config, ConfigDict, dict)):
        name, cfg = 'config', model if isinstance(model, Config) else Config(dict(model))
        embedded = None
    elif model is None or isinstance(model, (str, Path)):
        path = find_config(DEFAULT_MODEL if model is None else str(model))
        name, cfg = path.stem, load_config(path)
        embedded = next((known for known in EMBEDDED.values() if known.config == name), None)
    else:
        raise TypeError(f'model is a {type(model).__name__}; accepted are a config name, a path and a Config')
    if 'model' not in cfg:
        raise ValueError(f"config {name} has no 'model'; it does not describe a model")
    if weights is None and not random_weights:
        if embedded is None:
            raise ValueError(
                f'no weights for {name}: only {" and ".join(EMBEDDED)} have weights in the package. Give '
                'weights=<file or URL> (--weights), or random_weights=True for an untrained model'
            )
        return ModelSpec(name, cfg, str(embedded.found_weights()), embedded, embedded.vocabulary, embedded.knows)
    return ModelSpec(name, cfg, str(weights) if weights is not None else None)


def load_config(path: Path) -> Config:
    """Read a config file, with its references filled in.

    Raises:
        ValueError: It is not a readable config; the message holds the cause in one line.
    """
    return fill_in(read_config(path))


def fill_in(cfg: Config) -> Config:
    """Fill in a config's references, see :func:`xdet.config_references.fill_in`; ``${embedded_photos}`` is the file of
    the weights of the embedded model ``photos``, and so on."""
    files = {f'embedded_{model.name}': str(model.weights) for model in EMBEDDED.values()}
    return config_references.fill_in(cfg, files)


def read_config(path: Path) -> Config:
    """Read a config file whose values may still be changed, before :func:`fill_in`.

    A config is Python code. Files of data (YAML, JSON) are refused, as what is built from them is code that they name,
    which nobody expects of data.

    Raises:
        ValueError: It is not a readable config; the message holds the cause in one line.
    """
    _check_bases(Path(path).absolute(), ())
    try:
        cfg = Config.fromfile(str(path))
        cfg.items()  # what the config imports is imported at its first use, so errors of that belong here
    except (Exception, SystemExit) as error:  # configs are code, anything may come out of them
        raise ValueError(
            f'config {path} cannot be read: {type(error).__name__}: {shorten(cause(error), 500)}'
        ) from error
    if not cfg:
        raise ValueError(f'config {path} is empty; it sets nothing')
    return cfg


def _check_bases(path: Path, heirs: tuple[Path, ...]) -> None:
    """Follow ``_base_`` and raise ValueError where it leads in a circle, nowhere, or to something that is no code."""
    where = f"config {heirs[-1]} cannot be read: _base_ '{path}'" if heirs else f'config {path}'
    if path in heirs:
        raise ValueError(f'{where} leads back to itself: {" -> ".join(file.name for file in (*heirs, path))}')
    if path.suffix != '.py':
        raise ValueError(f"{where} is no Python file; configs are .py files, not '{path.suffix}'")
    if not path.is_file():
        raise ValueError(f'{where} does not exist')
    try:
        with tempfile.TemporaryDirectory() as folder:
            copy = str(Path(folder, 'config.py'))
            Config._substitute_predefined_vars(str(path), copy)  # a base may be named by {{ fileDirname }}
            bases = [] if Config._is_lazy_import(copy) else Config._get_base_files(copy)
    except (Exception, SystemExit) as error:
        raise ValueError(f'{where} cannot be read: {type(error).__name__}: {shorten(cause(error), 500)}') from error
    for base in bases:
        if not isinstance(base, (str, os.PathLike)):
            raise ValueError(f'config {path}: _base_ is {shorten(repr(base))}; accepted are paths and lists of paths')
        try:
            found = Config._get_cfg_path(str(base), str(path))[0]
        except Exception as error:
            raise ValueError(f"config {path}: _base_ '{base}' cannot be found: {shorten(cause(error), 300)}") from error
        _check_bases(Path(os.path.normpath(found)), (*heirs, path))


def metadata(name: str) -> dict[str, Any]:
    """What the metafiles say about a model; empty if they do not have it."""
    for file in ('metafile.yml', 'metafile_no_weights.yml'):
        content = yaml.safe_load((config_root() / 'xdecoder' / file).read_text(encoding='utf-8'))
        for entry in content.get('Models') or ():
            if entry['Name'] == name:
                return dict(entry)
    return {}


def resolve_device(device: str | torch.device) -> torch.device:
    """Device to run on; ``'auto'`` takes the first of CUDA, MPS and CPU that is there.

    Raises:
        ValueError: The name is no device or the device is not available.
    """
    if not isinstance(device, (str, int, torch.device)) or isinstance(device, bool):
        raise ValueError(f'device is a {type(device).__name__}; accepted are auto, cpu, cuda, cuda:N and mps')
    if device == 'auto':
        if torch.cuda.is_available():
            return torch.device('cuda')
        return torch.device('mps' if torch.backends.mps.is_available() else 'cpu')
    try:
        resolved = torch.device(device)
    except (OverflowError, RuntimeError, TypeError, ValueError):
        named = shorten(str(device))
        raise ValueError(f"device '{named}' is unknown; accepted are auto, cpu, cuda, cuda:N and mps") from None
    if resolved.type == 'meta':
        raise ValueError("device 'meta' holds no numbers, so nothing can run on it; use auto or cpu")
    found = torch.cuda.device_count()
    if resolved.type == 'cuda' and (resolved.index or 0) >= found:
        raise ValueError(f"device '{device}' is not available: this machine has {found} CUDA devices")
    if resolved.type == 'mps' and not torch.backends.mps.is_available():
        raise ValueError("device 'mps' is not available on this machine; use auto or cpu")
    return resolved


def _shipped() -> dict[str, Path]:
    """Shipped run configs by name; ``_base_`` and ``benchmarks`` hold parts of configs, not models."""
    root = config_root()
    paths = (path for path in sorted(root.rglob('*.py')) if not _PARTS & {*path.relative_to(root).parts})
    return {path.stem: path for path in paths}


def _example() -> str:
    return next((name for name in list_models('*focal-t*')), DEFAULT_MODEL)
