"""Example inputs of all graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from xdet.models import XDecoder

from .encoding import factor, pixel_names


@dataclass(frozen=True)
class Graph:
    """A module to export.

    Attributes:
        name (str): Of the file, without its ending.
        module (nn.Module): What it computes.
        inputs (dict[str, Tensor]): Example inputs by name, in order.
        sizes (dict[str, dict[int, Any]]): By input, the axes whose size is open.
        outputs (tuple[str, ...]): Names of the results.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    sizes: dict[str, dict[int, Any]]
    outputs: tuple[str, ...]


class Examples:
    """Example inputs of all graphs, with sizes that differ, and which of their axes are open."""

    def __init__(self, model: XDecoder) -> None:
        decoder, text = model.decoder, model.text_encoder
        channels, layers = decoder.query_feat.weight.shape[1], len(decoder.layers)
        heads, queries = decoder.layers[0].self_attn.num_heads, decoder.num_queries
        blocks = text.transformer.resblocks
        text_heads, width = blocks[0].attn.num_heads, text.width
        self.visible = tuple(f'visible_{32 >> level}' for level in decoder.levels)
        self.image_keys = tuple(f'image_keys_{number}' for number in range(layers))
        h, w = Dim('h', min=1, max=4096), Dim('w', min=1, max=4096)
        dims = {name: Dim(name, min=1, max=2**20) for name in ('K', 'H', 'W', 'n', 'S', 'T', 'm', 'R', 'tokens')}
        past = Dim('P', min=0, max=text.context_length - 1)
        height, width_ = 2, 3
        self._inputs: dict[str, Tensor] = {}
        self._sizes: dict[str, dict[int, Any]] = {}

        def add(name: str, shape: tuple[int, ...], sizes: dict[int, Any], kind: torch.dtype = torch.float32) -> None:
            random = torch.Generator().manual_seed(len(self._inputs))
            value = torch.randn(shape, generator=random)
            self._inputs[name] = value.to(kind) if kind.is_floating_point else (value > 0).to(kind)
            self._sizes[name] = sizes

        add('image', (1, 3, 32 * height, 32 * width_), {2: 32 * h, 3: 32 * w})
        add('mask_features', (1, channels, 8 * height, 8 * width_), {2: 8 * h, 3: 8 * w})
        names = pixel_names(model)
        maps = {f'memory_{32 // times}': times for times in (1, 2, 4)}
        maps |= {f'pixels_{name}': 8 // factor(name) for name in (names.heard if names is not None else ())}
        for name, times in maps.items():
            open_sizes = {axis: side if times == 1 else times * side for axis, side in ((2, h), (3, w))}
            add(name, (1, channels, times * height, times * width_), open_sizes)
        last = model.tasks.retrieval.backbone_proj.shape[0] if 'retrieval' in model.tasks else 1
        add('image_mean', (1, last), {})
        most = Dim('L', min=1, max=text.context_length)
        add('ids', (5, 7), {0: dims['n'], 1: most}, torch.int64)
        add('class_embed', (queries, channels), {})
        add('mask_embed', (queries, channels), {})
        add('pixel_embed', (queries, channels), {})
        add('text', (4, channels), {0: dims['K']})
        add('probabilities', (queries, 5), {1: dims['K'] + 1})
        for name in ('is_thing', 'reported'):
            add(name, (4,), {0: dims['K']}, torch.bool)
        add('least', (4,), {0: dims['K']})
        add('overlap', (), {}, torch.float64)
        for name in ('mask', 'mask_logit'):
            add(name, (), {})
        add('rows', (41, 8 * height), {0: dims['H'], 1: 8 * h})
        add('columns', (53, 8 * width_), {0: dims['W'], 1: 8 * w})
        add('phrase_tokens', (2, 6, channels), {0: dims['S'], 1: dims['tokens']})
        add('valid', (2, 6), {0: dims['S'], 1: dims['tokens']}, torch.bool)
        add('phrase_features', (2, 3, channels), {0: dims['S'], 1: dims['T']})
        add('pooled', (3, channels), {0: dims['m']})
        add('next_ids', (5, 1), {0: dims['R']}, torch.int64)
        add('text_past', (len(blocks), 2, 5, text_heads, 3, width // text_heads), {2: dims['R'], 4: past})
        add('past', (layers, 2, 5, heads, 3, channels // heads), {2: dims['R'], 4: past})
        add('latent_keys', (layers, 2, heads, queries, channels // heads), {})
        places = [Dim(name, min=1, max=2**24) for name in ('P32', 'P16', 'P8')]
        lengths = [factor**2 * height * width_ for factor in (1, 2, 4)]
        for name, level in zip(self.visible, decoder.levels, strict=True):
            add(name, (5, lengths[level]), {0: dims['R'], 1: places[level]}, torch.bool)
        for number, name in enumerate(self.image_keys):
            level = decoder.levels[number % len(decoder.levels)]
            add(name, (2, heads, lengths[level], channels // heads), {2: places[level]})
        add('question_tokens', (5, 7, channels), {0: dims['R'], 1: most})
        add('ends', (5,), {0: dims['R']}, torch.int64)

    def graph(self, name: str, module: nn.Module, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> Graph:
        return Graph(
            name,
            module.eval(),
            {key: self._inputs[key] for key in inputs},
            {key: self._sizes[key] for key in inputs},
            outputs,
        )
