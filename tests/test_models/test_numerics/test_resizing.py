"""Products with matrices resize as torch's kernel does."""

from __future__ import annotations

import pytest
import torch

from xdet.models.numerics.resizing import resize, resize_by_products, resizing_matrix


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize('size', [(1, 1), (5, 3), (10, 14), (20, 7), (23, 40)])
def test_equals_the_kernel(size, layout):
    maps = torch.randn(2, 3, 20, 28, generator=torch.Generator().manual_seed(0)).to(memory_format=layout)
    made = resize_by_products(maps, size)
    torch.testing.assert_close(made, resize(maps, size), atol=1e-5, rtol=1e-5)
    if min(size) > 1:
        assert made.is_contiguous(memory_format=layout)


def test_gradients_are_those_of_the_kernel():
    maps = torch.randn(1, 2, 8, 12, generator=torch.Generator().manual_seed(0), requires_grad=True)
    grads = [torch.autograd.grad(way(maps, (4, 5)).square().sum(), maps)[0] for way in (resize_by_products, resize)]
    torch.testing.assert_close(*grads, atol=1e-5, rtol=1e-5)


def test_matrix_of_two_steps_with_a_cut():
    line = torch.randn(1, 1, 1, 9, generator=torch.Generator().manual_seed(0))
    expected = resize(resize(line, (1, 36))[..., :30], (1, 17))
    torch.testing.assert_close(line @ resizing_matrix((9, 36, 17), 30).T, expected, atol=1e-5, rtol=1e-5)


def test_matrices_made_in_inference_mode_can_be_used_in_training():
    resizing_matrix.cache_clear()
    maps = torch.randn(1, 2, 8, 12)
    with torch.inference_mode():
        resize_by_products(maps, (4, 6))
    resize_by_products(maps.requires_grad_(), (4, 6)).sum().backward()
    assert maps.grad is not None
