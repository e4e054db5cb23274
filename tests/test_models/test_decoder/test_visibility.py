"""Self-attention masks against tables written by hand (docs/architecture.md)."""

import pytest
import torch

from xdet.models.decoder.queries import pack
from xdet.models.decoder.visibility import self_attention_mask
from xdet.structures import QueryGroup


def group(name, length, sees, batch=1, **kwargs):
    zeros = torch.zeros(batch, length, 4)
    return QueryGroup(name, zeros, zeros, sees=frozenset(sees), **kwargs)


def table(rows):
    return torch.tensor([[cell == 'x' for cell in row] for row in rows])


LATENTS = [group('object', 3, ['object']), group('image', 1, ['image'])]


def test_latents_alone():
    expected = table(['xxx.', 'xxx.', 'xxx.', '...x'])
    assert torch.equal(self_attention_mask(pack(LATENTS))[0, 0], expected)


def test_captions_see_everything_up_to_themselves():
    caption = group('caption', 3, ['object', 'image', 'caption'], causal=True, image_attention='all')
    expected = table(['xxx....', 'xxx....', 'xxx....', '...x...', 'xxxxx..', 'xxxxxx.', 'xxxxxxx'])
    assert torch.equal(self_attention_mask(pack([*LATENTS, caption]))[0, 0], expected)


def test_phrases_and_text_see_each_other_only():
    phrase = group('phrase', 2, ['phrase', 'text'])
    text = group('text', 1, ['phrase', 'text'], image_attention='no')
    expected = table(['xxx....', 'xxx....', 'xxx....', '...x...', '....xxx', '....xxx', '....xxx'])
    assert torch.equal(self_attention_mask(pack([text, *LATENTS, phrase]))[0, 0], expected)


def test_padding_is_seen_by_nobody_but_itself():
    valid = torch.tensor([[True, True], [True, False]])
    text = group('text', 2, ['text'], batch=2, image_attention='no', valid=valid)
    masks = self_attention_mask(pack([text]))[:, 0]
    assert torch.equal(masks[0], table(['xx', 'xx']))
    assert torch.equal(masks[1], table(['x.', 'xx']))


def test_packing_orders_groups_by_image_attention():
    caption = group('caption', 2, ['caption'], image_attention='all')
    text = group('text', 5, ['text'], image_attention='no')
    packed = pack([text, caption, *LATENTS])
    assert [item.name for item in packed.groups] == ['object', 'image', 'caption', 'text']
    assert (packed.num_masked, packed.num_attending) == (4, 6)
    assert packed.slices['text'] == slice(6, 11)


def test_bad_groups_are_named():
    with pytest.raises(ValueError, match='unique names'):
        pack([LATENTS[0], LATENTS[0]])
    with pytest.raises(ValueError, match="'caption' refers to \\['object'\\]"):
        pack([group('caption', 1, ['object', 'caption'])])
    with pytest.raises(ValueError, match="'masked', 'all' and 'no'"):
        group('x', 1, ['x'], image_attention='some')
