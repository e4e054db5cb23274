"""Pseudo-weights that depend on nothing but the name and shape of an official state-dict entry.

Reference activations were recorded with them, so full-size models are checked without any download. Two independent
rules exist: ``golden`` (Mersenne twister, seeded with the CRC-32 of the name) and ``filler`` (PCG64, likewise).
"""

from __future__ import annotations

import gzip
import json
import math
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

DATA = Path(__file__).resolve().parents[1] / 'data'
SHARED = Path(__file__).resolve().parents[2] / '..' / 'shared'
Keys = Mapping[str, Sequence[int]]


def official_keys(model: str) -> dict[str, tuple[int, ...]]:
    """Names and shapes of an official checkpoint.

    Models are ``'focal-t'`` (101 queries), ``'focal-l'``, ``'davit-d3'`` and ``'davit-d5'`` (201 queries).
    """
    with gzip.open(DATA / 'official_keys.json.gz', 'rt') as file:
        return {key: tuple(shape) for key, shape in json.load(file)[model].items()}


def is_stored(key: str) -> bool:
    """Whether the entry is a parameter, not a table that the model computes."""
    return not key.endswith(('self_attn_mask', 'criterion.empty_weight'))


def golden_array(key: str, shape: Sequence[int]) -> np.ndarray:
    """Rule of the ``golden_*.json`` reference numbers."""
    values = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(math.prod(shape))
    values = values.astype(np.float32).reshape(shape)
    parent, leaf = ('.' + key).split('.')[-2:]
    is_norm = leaf in ('weight', 'bias') and ('norm' in parent or parent.startswith('ln_'))
    if leaf == 'logit_scale':
        return np.full_like(values, 3.0)
    if leaf.startswith('gamma_'):
        return 0.5 + 0.1 * values
    if is_norm and leaf == 'weight':
        return 1 + 0.05 * values
    if leaf in ('bias', 'in_proj_bias') or values.ndim == 1:
        return 0.02 * values
    if parent in ('query_feat', 'query_embed', 'level_embed', 'pos_embed_caping'):
        return values
    if parent == 'token_embedding' or leaf == 'positional_embedding':
        return 0.05 * values
    if leaf in ('class_embed', 'caping_embed', 'lang_proj', 'backbone_proj'):
        return values / math.sqrt(shape[0])
    values = values / math.sqrt(math.prod(shape[1:]))
    small = key.endswith(('out_proj.weight', 'linear2.weight', 'c_proj.weight'))
    return 0.3 * values if small else values


_FILLER_GAINS = (  # (substring, suffix, gain)
    ('lang_encoder.resblocks.', '.attn.out_proj.weight', 0.3),
    ('lang_encoder.resblocks.', '.mlp.c_proj.weight', 0.2),
    ('predictor.transformer_self_attention_layers.', '.out_proj.weight', 0.1),
    ('predictor.transformer_cross_attention_layers.', '.in_proj_weight', 2.0),
    ('predictor.transformer_cross_attention_layers.', '.out_proj.weight', 0.2),
    ('predictor.transformer_ffn_layers.', '.linear2.weight', 0.1),
    ('backbone.blocks.', '.fn.dw.weight', 0.3),  # DaViT
)


def filler_array(key: str, shape: Sequence[int]) -> np.ndarray:
    """Rule of the recorded reference cases."""
    f32 = np.float32
    if key.endswith('logit_scale'):
        return np.full(shape, math.log(1 / 0.07), dtype=f32)
    rng = np.random.Generator(np.random.PCG64(zlib.crc32(key.encode())))
    values = rng.standard_normal(size=tuple(shape), dtype=f32)
    leaf = key.rsplit('.', 1)[-1]
    if leaf.startswith('gamma_'):
        return f32(0.5) + f32(0.1) * values
    if values.ndim == 1:
        return _filler_vector(key, values)
    if key.endswith(('query_feat.weight', 'query_embed.weight', 'pos_embed_caping.weight')):
        return values
    if key.endswith('level_embed.weight'):
        return f32(0.1) * values
    if key.endswith('token_embedding.weight'):
        values[49406:49408] *= f32(0.02)
        return values
    if leaf == 'positional_embedding':
        return f32(0.1) * values
    gain = next((gain for part, suffix, gain in _FILLER_GAINS if part in key and key.endswith(suffix)), 1.0)
    values = f32(gain / math.sqrt(math.prod(shape[1:]))) * values
    if leaf in ('class_embed', 'lang_proj'):
        values *= np.ldexp(f32(4.0), -(np.arange(shape[-1]) // 16)).astype(f32)
    return values


def _filler_vector(key: str, values: np.ndarray) -> np.ndarray:
    f32 = np.float32
    if key.endswith('weight'):
        values = f32(1.0) + f32(0.1) * values
        return f32(0.3) * values if 'pixel_decoder.adapter_' in key else values
    values = f32(0.02) * values
    if key.endswith('predictor.mask_embed.layers.2.bias'):
        values = values + f32(0.1)
    if key.endswith('pixel_decoder.mask_features.bias'):
        values = values + f32(-0.40)
    return values


def _state(rule: Callable[[str, Sequence[int]], np.ndarray], keys: Keys) -> dict[str, torch.Tensor]:
    arrays = {key: np.ascontiguousarray(rule(key, shape)) for key, shape in keys.items() if is_stored(key)}
    return {key: torch.from_numpy(array).reshape(tuple(keys[key])) for key, array in arrays.items()}


def golden_state(keys: Keys) -> dict[str, torch.Tensor]:
    """Official-layout state dict by the ``golden`` rule for the given names and shapes."""
    return _state(golden_array, keys)


def filler_state(keys: Keys) -> dict[str, torch.Tensor]:
    """Official-layout state dict by the ``filler`` rule for the given names and shapes."""
    return _state(filler_array, keys)


def fixture_image(height: int, width: int, seed: int) -> torch.Tensor:
    """Random image of the golden numbers: uint8 RGB ``[3, height, width]``."""
    return torch.from_numpy(np.random.RandomState(seed).randint(0, 256, (3, height, width)).astype(np.uint8))


def summarize(tensor: torch.Tensor) -> dict:
    """The summary that is compared with golden numbers."""
    values = tensor.detach().double().flatten()
    return dict(
        shape=list(tensor.shape),
        sum=float(values.sum()),
        abs=float(values.abs().sum()),
        std=float(values.std()),
        first=values[:5].tolist(),
        last=values[-5:].tolist(),
    )


def golden(name: str) -> dict:
    """Reference numbers of ``tests/data/golden_<name>.json``."""
    return json.loads((DATA / f'golden_{name}.json').read_text())


def assert_golden(tensor: torch.Tensor, expected: dict, atol: float = 1e-4, rtol: float = 1e-5) -> None:
    """Compare a tensor with a golden summary: shape, single values and the sum of absolute values."""
    found = summarize(tensor)
    assert found['shape'] == expected['shape']
    for end in ('first', 'last'):
        np.testing.assert_allclose(found[end], expected[end], rtol=0, atol=atol)
    for statistic in ('abs', 'std'):
        np.testing.assert_allclose(found[statistic], expected[statistic], rtol=rtol)
