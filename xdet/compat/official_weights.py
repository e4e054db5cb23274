"""State-dict names of the official X-Decoder release and of xdet, translated in both directions.

One table serves both directions. A row pairs an official name with ours; a name that ends in ``.`` stands for
everything below it, and ``#`` stands for a layer number, in the same order on both sides. The first row that matches
wins.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import count
from typing import TypeVar

from torch import Tensor

Entry = TypeVar('Entry')

_PREDICTOR = 'sem_seg_head.predictor.'
_PIXEL = 'sem_seg_head.pixel_decoder.'
_TEXT = _PREDICTOR + 'lang_encoder.'

# DaViT has timm's names here. Other backbones have the official ones.
_DAVIT = (
    *(
        (f'backbone.convs.0.{theirs}.', f'backbone.stem.{ours}.')
        for theirs, ours in (('proj', 'conv'), ('norm', 'norm'))
    ),
    *(
        (f'backbone.convs.{stage}.{theirs}.', f'backbone.stages.{stage}.downsample.{ours}.')
        for stage in (1, 2, 3)
        for theirs, ours in (('proj', 'conv'), ('norm', 'norm'))
    ),
    *(
        (f'backbone.blocks.#.#.{half}.{theirs}.', f'backbone.stages.#.blocks.#.{half}.{ours}.')
        for half, attention in (('spatial_block', 'window_attn'), ('channel_block', 'channel_attn'))
        for theirs, ours in (
            ('conv1.fn.dw', 'cpe1.proj'),
            (f'{attention}.norm', 'norm1'),
            (f'{attention}.fn', 'attn'),
            ('conv2.fn.dw', 'cpe2.proj'),
            ('ffn.norm', 'norm2'),
            ('ffn.fn.net', 'mlp'),
        )
    ),
)

_TABLE = (
    *_DAVIT,
    ('backbone.', 'backbone.'),
    # The official FPN counts from fine to coarse starting at 1; its layer 4 is the output of the transformer encoder.
    *((f'{_PIXEL}adapter_{i}.norm.', f'pixel_decoder.lateral_convs.{i - 1}.gn.') for i in (1, 2, 3)),
    *((f'{_PIXEL}adapter_{i}.', f'pixel_decoder.lateral_convs.{i - 1}.conv.') for i in (1, 2, 3)),
    *((f'{_PIXEL}layer_{i}.norm.', f'pixel_decoder.output_convs.{i - 1}.gn.') for i in (1, 2, 3)),
    *((f'{_PIXEL}layer_{i}.', f'pixel_decoder.output_convs.{i - 1}.conv.') for i in (1, 2, 3)),
    (f'{_PIXEL}layer_4.norm.', 'pixel_decoder.encoder_out_proj.gn.'),
    (f'{_PIXEL}layer_4.', 'pixel_decoder.encoder_out_proj.conv.'),
    (f'{_PIXEL}mask_features.', 'pixel_decoder.mask_feature.'),
    (f'{_PIXEL}input_proj.', 'pixel_decoder.encoder_in_proj.'),
    *(
        (f'{_PIXEL}transformer.encoder.layers.#.{theirs}.', f'pixel_decoder.encoder.layers.#.{ours}.')
        for theirs, ours in (
            ('self_attn', 'self_attn.attn'),
            ('linear1', 'ffn.layers.0.0'),
            ('linear2', 'ffn.layers.1'),
            ('norm1', 'norms.0'),
            ('norm2', 'norms.1'),
        )
    ),
    *(
        (f'{_PREDICTOR}transformer_{theirs}.', f'decoder.layers.{ours}.')
        for theirs, ours in (
            ('cross_attention_layers.#.multihead_attn', '#.cross_attn'),
            ('cross_attention_layers.#.norm', '#.cross_norm'),
            ('self_attention_layers.#.self_attn', '#.self_attn'),
            ('self_attention_layers.#.norm', '#.self_norm'),
            ('ffn_layers.#.norm', '#.ffn_norm'),
            ('ffn_layers.#.linear1', '#.linear1'),
            ('ffn_layers.#.linear2', '#.linear2'),
        )
    ),
    *(
        (_PREDICTOR + name, 'decoder.' + name)
        for name in (
            'class_embed',
            'decoder_norm.',
            'level_embed.weight',
            'mask_embed.layers.',
            'query_embed.weight',
            'query_feat.weight',
        )
    ),
    (f'{_TEXT}lang_encoder.resblocks.', 'text_encoder.transformer.resblocks.'),
    (f'{_TEXT}lang_proj', 'text_encoder.text_projection'),
    (f'{_TEXT}logit_scale', 'text_encoder.logit_scale'),
    (f'{_TEXT}lang_encoder.', 'text_encoder.'),
    # Parameters that only one task uses belong to it.
    (f'{_PREDICTOR}caping_embed', 'tasks.captioning.token_proj'),
    (f'{_PREDICTOR}pos_embed_caping.weight', 'tasks.captioning.position_embed.weight'),
    (f'{_PREDICTOR}query_feat_caping.weight', 'tasks.vqa.query_feat.weight'),
    (f'{_PREDICTOR}vqa_classifier.', 'tasks.vqa.classifier.'),
    ('backbone_proj', 'tasks.retrieval.backbone_proj'),
)

_COMPUTED = (f'{_PREDICTOR}self_attn_mask', 'criterion.empty_weight', 'pixel_mean', 'pixel_std')
"""Official entries that are no weights: the model derives them from its settings, so they are neither read nor written.

The official loader keeps what the model built for entries a file lacks, so an exported file works without them.
"""

_WRAPPERS = ('module.', 'model.')


def official_to_xdet(state_dict: Mapping[str, Tensor], strict: bool = True) -> dict[str, Tensor]:
    """Translate an official state dict.

    Args:
        state_dict (Mapping[str, Tensor]): Official names, also below ``module.`` or ``model.``.
        strict (bool): Whether an entry unknown to the table is an error; otherwise it keeps its name.

    Raises:
        ValueError: ``strict`` and there are unknown entries.
    """
    entries = {key: value for key, value in strip_wrappers(state_dict).items() if key not in _COMPUTED}
    return _translate(entries, _TO_XDET, strict, 'the official X-Decoder')


def xdet_to_official(state_dict: Mapping[str, Tensor], strict: bool = True) -> dict[str, Tensor]:
    """Translate a state dict of xdet into the official names; entries the official model computes are left out.

    Args:
        state_dict (Mapping[str, Tensor]): Names of xdet, also below ``module.`` or ``model.``.
        strict (bool): Whether an entry unknown to the table is an error; otherwise it keeps its name.

    Raises:
        ValueError: ``strict`` and there are unknown entries.
    """
    return _translate(strip_wrappers(state_dict), _TO_OFFICIAL, strict, 'xdet')


def is_official(keys: Iterable[str]) -> bool:
    """Whether the names are those of an official state dict."""
    return any(key.startswith('sem_seg_head.') for key in strip_wrappers(dict.fromkeys(keys)))


def strip_wrappers(state_dict: Mapping[str, Entry]) -> dict[str, Entry]:
    """Remove ``module.`` and ``model.``, which data-parallel and trainer wrappers put before every name."""
    state_dict = dict(state_dict)
    while prefix := next((p for p in _WRAPPERS if state_dict and all(key.startswith(p) for key in state_dict)), None):
        state_dict = {key[len(prefix) :]: value for key, value in state_dict.items()}
    return state_dict


def _compile(source: str, target: str) -> tuple[re.Pattern, str]:
    """Pattern and replacement of a row; names that stand for everything below match as prefixes."""
    pattern = re.escape(source).replace(r'\#', r'(\d+)') + ('' if source.endswith('.') else '$')
    numbers = count(1)
    return re.compile(pattern), re.sub('#', lambda _: rf'\{next(numbers)}', target)


_TO_XDET = [_compile(official, ours) for official, ours in _TABLE]
_TO_OFFICIAL = [_compile(ours, official) for official, ours in _TABLE]


def _translate(
    state_dict: Mapping[str, Tensor], rows: list[tuple[re.Pattern, str]], strict: bool, layout: str
) -> dict[str, Tensor]:
    translated, unknown = {}, []
    for key, value in state_dict.items():
        match = next(((m, target) for pattern, target in rows if (m := pattern.match(key))), None)
        if match is None:
            unknown.append(key)
            translated[key] = value
        else:
            translated[match[0].expand(match[1]) + key[match[0].end() :]] = value
    if strict and unknown:
        shown = ', '.join(unknown[:5]) + (', ...' if len(unknown) > 5 else '')
        raise ValueError(f'{len(unknown)} entries are not names of {layout}: {shown}')
    return translated
