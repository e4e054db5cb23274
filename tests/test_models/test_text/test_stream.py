import pytest
import torch

from xdet.models import XDecoderTextEncoder


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = XDecoderTextEncoder(width=32, num_heads=4, num_layers=3, embed_dims=16, context_length=20).eval()
    # As drawn, positions hardly matter and residual branches are small: mistakes would be too.
    for parameter in encoder.parameters():
        parameter.data.add_(torch.randn_like(parameter), alpha=0.2)
    return encoder


@pytest.fixture
def ids(encoder):
    return encoder.tokenize(['a red dog on the sofa', 'two cats behind a big tree', 'sky', ''])


@pytest.mark.parametrize('sizes', [[1] * 8, [8], [3, 1, 4], [1, 2, 5]])
def test_steps_equal_the_full_pass(encoder, ids, sizes):
    stream = encoder.stream(len(ids), length=12)
    tokens = torch.cat([stream.step(part) for part in ids.split(sizes, dim=1)], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(tokens, encoder(ids).tokens, rtol=1e-5, atol=1e-5)
    assert stream.position == 8 and not tokens.requires_grad


def test_training_mode_and_checkpointing_do_not_matter(encoder, ids):
    with torch.no_grad():
        expected = encoder(ids).tokens
    encoder.train().set_grad_checkpointing(True)
    torch.testing.assert_close(encoder.stream(4, 8).step(ids), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('rows', [[2, 0, 0, 1], [3], [1, 1, 1, 1, 0, 2, 3]])
def test_reorder_continues_other_rows(encoder, ids, rows):
    rows = torch.tensor(rows)
    stream = encoder.stream(len(ids), length=8)
    stream.step(ids[:, :2])
    stream.step(ids[:, 2:4])
    stream.reorder(rows)
    rest = ids.flip(0).repeat(2, 1)[: len(rows), 4:]
    tokens = torch.cat([stream.step(rest[:, :1]), stream.step(rest[:, 1:])], dim=1)
    with torch.no_grad():
        expected = encoder(torch.cat([ids[rows, :4], rest], dim=1)).tokens[:, 4:]
    torch.testing.assert_close(tokens, expected, rtol=1e-5, atol=1e-5)


def test_reorder_before_the_first_step(encoder, ids):
    stream = encoder.stream(1, length=8)
    stream.reorder(torch.zeros(4, dtype=torch.long))
    with torch.no_grad():
        torch.testing.assert_close(stream.step(ids), encoder(ids).tokens, rtol=1e-5, atol=1e-5)


def test_autocast_keeps_its_precision(encoder, ids):
    with torch.autocast('cpu', dtype=torch.bfloat16), torch.no_grad():
        stream = encoder.stream(4, 8)
        tokens = torch.cat([stream.step(ids[:, :3]), stream.step(ids[:, 3:])], dim=1)
        expected = encoder(ids).tokens
    assert tokens.dtype == expected.dtype == torch.bfloat16
    torch.testing.assert_close(tokens, expected, rtol=0.05, atol=0.05 * expected.abs().max().item())


def test_limits_are_told(encoder, ids):
    with pytest.raises(ValueError, match=r'stream of 21 tokens .* up to 20 \(context_length\)'):
        encoder.stream(1, 21)
    stream = encoder.stream(4, 6)
    with pytest.raises(ValueError, match='tokens of 2 texts; the stream has 4'):
        stream.step(ids[:2, :3])
    stream.step(ids[:, :4])
    with pytest.raises(ValueError, match='8 tokens long; the stream was made for 6'):
        stream.step(ids[:, 4:])
