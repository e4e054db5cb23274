import numpy as np
import pytest
import torch
from mmengine.config import Config

from xdet.datasets.files.image_io import ImageReadError
from xdet.inference.pipeline import DEFAULT_RESIZE, build_pipeline, inference_transforms, is_out_of_memory, prepare

RESIZE = dict(type='ResizeShortestEdge', scale=64)


def test_inference_pipeline_of_the_config():
    steps = [dict(type='LoadXDetImage'), RESIZE, dict(type='PackXDetInputs', test_mode=True)]
    assert inference_transforms(Config(dict(inference_pipeline=steps))) == steps


def test_size_of_the_test_pipeline():
    dataset = dict(pipeline=[dict(type='LoadXDetImage'), RESIZE, dict(type='LoadSegments'), dict(type='X')])
    for wrapped in (dataset, dict(type='Wrapper', dataset=dataset)):
        steps = inference_transforms(Config(dict(test_dataloader=dict(dataset=wrapped))))
        assert [step['type'] for step in steps] == ['LoadXDetImage', 'ResizeShortestEdge', 'PackXDetInputs']
        assert steps[1] == RESIZE


def test_default_size():
    pipeline = build_pipeline(Config(dict(model=dict())))
    packed = prepare(pipeline, np.zeros((300, 400, 3), np.uint8), 'x.jpg', 3)
    assert packed['inputs'].shape == (3, DEFAULT_RESIZE['scale'], 1067)
    sample = packed['data_samples']
    assert (sample.ori_shape, sample.img_path, sample.img_id) == ((300, 400), 'x.jpg', 3)


def test_pictures_that_cannot_be_resized():
    def refuse(results):
        raise ValueError('height and width must be > 0')

    with pytest.raises(ImageReadError, match='x.jpg: an image of 9x4 pixels cannot be resized'):
        prepare(refuse, np.zeros((4, 9, 3), np.uint8), 'x.jpg', 0)


def test_out_of_memory_is_recognised():
    assert is_out_of_memory(torch.cuda.OutOfMemoryError('CUDA out of memory'))
    assert is_out_of_memory(MemoryError())
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 55, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError('shape mismatch'))


@pytest.mark.parametrize(
    'text',
    [
        'MPS backend out of memory (MPS allocated: 17.9 GB, other allocations: 384 KB, max allowed: 18.1 GB).',
        'XPU out of memory. Tried to allocate 2.00 GiB',
        'HIP out of memory. Tried to allocate 2.00 GiB',
        'CUDA error: out of memory',
        'cuDNN error: CUDNN_STATUS_ALLOC_FAILED',
        'CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`',
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory",
        '[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried to allocate it',
        'std::bad_alloc',
        'Invalid buffer size: 24.72 GB',
    ],
)
def test_every_device_and_library_has_its_words_for_it(text):
    assert is_out_of_memory(RuntimeError(text)) and not is_out_of_memory(ValueError(text))
