"""Exported graphs in fewer bytes: weights in half precision or 8 bits, and an image encoder that computes in 8 bits."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xdet.compat.quiet import hushed
from xdet.inference.inputs.images import ImageSource
from xdet.io.reading import expand
from xdet.lazy import import_optional
from xdet.runtime import OnnxInferencer
from xdet.runtime.encoded import network_input
from xdet.runtime.model import MANIFEST

from .folder import WEIGHTS, new_folder, write_facts, write_graphs

KINDS = ('fp16', 'bf16', 'int8-weights', 'int8')
_LEAST_IMAGES = 8
_LEAST_VALUES = 1024
"""Smaller constants stay as they are."""
_COMPUTED = ('image_encoder',)
"""Graphs that compute in 8 bits: nearly all of an image's time, and what few words depend on."""


def reduce_model(
    source: str | os.PathLike,
    target: str | os.PathLike,
    kind: str,
    images: Sequence[ImageSource] = (),
    judge: Callable[[Path], Mapping[str, Any]] | None = None,
) -> Path:
    """Write an exported model in fewer bytes. After an error there is none.

    ``fp16`` and ``bf16`` store weights in half precision and compute in single. ``int8-weights`` stores matrices and
    kernels in 8 bits with a scale per output channel. ``int8`` does that too, and in the image encoder convolutions and
    matrix products also compute in 8 bits, with ranges found on images (static quantisation).

    Args:
        source (str | os.PathLike): Exported model in single precision.
        target (str | os.PathLike): New folder.
        kind (str): One of :data:`KINDS`.
        images (Sequence[ImageSource]): At least 8 images for ``int8``.
        judge (Callable[[Path], Mapping[str, Any]], optional): Gets the finished folder and returns the content of its
            ``certificate.json``, such as :func:`xdet.export.certificate.compare`.

    Raises:
        ImportError: A package of the extra ``export`` is not installed.
        ValueError: The kind, the images or a folder cannot be used.
    """
    if kind not in KINDS:
        raise ValueError(f'kind is {kind!r}; accepted are {", ".join(KINDS)}')
    if kind == 'int8' and len(images) < _LEAST_IMAGES:
        raise ValueError(f'{len(images)} images are too few to find ranges on; int8 needs {_LEAST_IMAGES}')
    onnx = import_optional('onnx', 'reducing exported models', 'export')
    model = OnnxInferencer(source)
    if 'reduced' in model.facts:
        raise ValueError(f"'{source}' is {model.facts['reduced']} already; start from the model in single precision")
    rows, facts = model.facts['graphs'], dict(model.facts, reduced=kind)

    def protos() -> Iterator[tuple[str, Any]]:
        for name, row in rows.items():
            path = model.model.folder / row['file']
            if kind == 'int8' and name in _COMPUTED:
                proto = _computing_in_8_bits(path, _inputs(model, images))
            else:
                proto = onnx.load(str(path))
            _store(proto, kind)
            yield row['file'], proto

    with new_folder(target) as unfinished:
        shutil.copyfile(model.model.folder / facts['text']['tokens'], unfinished / facts['text']['tokens'])
        files = write_graphs(unfinished, protos())
        facts['graphs'] = {name: row | files[row['file']] for name, row in rows.items()}
        facts['data'] = files[WEIGHTS]
        write_facts(unfinished / MANIFEST, facts)
        if judge is not None:
            write_facts(unfinished / 'certificate.json', judge(unfinished))
    return expand(target)


def _inputs(model: OnnxInferencer, images: Sequence[ImageSource]) -> Iterator[dict[str, NDArray[np.float32]]]:
    """What the image encoder sees of images, in all sizes that tasks ask for."""
    rules = list(model.facts['sizes'])
    for index, source in enumerate(images):
        seen, _ = network_input(model.model, source, rules[index % len(rules)] or None)
        if not np.isfinite(seen).all():
            raise ValueError(f'{source.name}: has pixels that are not finite')
        yield dict(image=seen)


def _computing_in_8_bits(path: Path, inputs: Iterator[dict[str, Any]]) -> Any:
    """Static quantisation by onnxruntime: activations per tensor, weights per channel."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):
        def get_next(self) -> dict[str, Any] | None:
            return next(inputs, None)

    with tempfile.TemporaryDirectory() as folder, hushed(logging.getLogger(), below=logging.WARNING):
        whole, prepared, result = (str(Path(folder, f'{name}.onnx')) for name in ('whole', 'prepared', 'result'))
        # In one file: the library follows no links to the file of weights.
        onnx.save_model(onnx.load(str(path)), whole)
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            result,
            Reader(),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=['Conv', 'MatMul', 'Gemm'],
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        return onnx.load(result)


def _store(proto: Any, kind: str) -> None:
    """Replace large constants of single precision by smaller ones, and nodes that make the values of them."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = []
    initializers = list(proto.graph.initializer)
    del proto.graph.initializer[:]
    for tensor in initializers:
        small = tensor.data_type != TensorProto.FLOAT or np.prod(tensor.dims, dtype=np.int64) < _LEAST_VALUES
        if small or (kind.startswith('int8') and len(tensor.dims) < 2):
            proto.graph.initializer.append(tensor)
            continue
        values, name = numpy_helper.to_array(tensor), tensor.name
        stored = f'{name}.stored'
        if kind.startswith('int8'):
            axis = 0 if values.shape[0] >= values.shape[-1] or values.ndim > 2 else values.ndim - 1
            others = tuple(place for place in range(values.ndim) if place != axis)
            scale = np.maximum(np.abs(values).max(axis=others), 1e-12).astype(np.float32) / 127
            shape = [-1 if place == axis else 1 for place in range(values.ndim)]
            rounded = np.clip(np.rint(values / scale.reshape(shape)), -127, 127).astype(np.int8)
            proto.graph.initializer.append(numpy_helper.from_array(rounded, stored))
            proto.graph.initializer.append(numpy_helper.from_array(scale, f'{name}.scale'))
            nodes.append(helper.make_node('DequantizeLinear', [stored, f'{name}.scale'], [name], axis=axis))
            continue
        wanted = TensorProto.FLOAT16 if kind == 'fp16' else TensorProto.BFLOAT16
        if kind == 'fp16':
            data = values.astype(np.float16).tobytes()
        else:  # the upper half of the bits, rounded to the nearest, to even in the middle
            bits = values.view(np.uint32).astype(np.uint64)
            data = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16).tobytes()
        proto.graph.initializer.append(helper.make_tensor(stored, wanted, values.shape, data, raw=True))
        nodes.append(helper.make_node('Cast', [stored], [name], to=TensorProto.FLOAT))
    rest = list(proto.graph.node)
    del proto.graph.node[:]
    proto.graph.node.extend([*nodes, *rest])
