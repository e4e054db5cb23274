"""Writes a model as ONNX graphs beside what running them needs, and lets nobody have them before they are proven."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from xdet.compat.quiet import hushed
from xdet.inference.inferencer import XDecoderInferencer
from xdet.io.errors import cause
from xdet.io.reading import expand, shorten
from xdet.lazy import import_optional
from xdet.models.text.embedding_file import templates_fingerprint
from xdet.runtime.model import FORMAT, MANIFEST
from xdet.structures import FORMATS, TEMPLATES
from xdet.tasks import (
    CaptioningTask,
    ClassificationTask,
    InteractiveTask,
    ReferringTask,
    SegmentationTask,
    VQATask,
)
from xdet.version import __version__

from .examples import Graph
from .folder import WEIGHTS, new_folder, write_facts, write_graphs
from .graphs import graphs
from .sizes import size_rule

OPSETS = range(18, 24)
"""Accepted versions of ONNX's operators: torch's exporter writes no older ones and converts to no newer ones."""
TOKENS = 'tokens.txt.gz'
_FORBIDDEN = dict(GridSample='grid_sample', Resize='anti-aliased resizing')


def export(
    inferencer: XDecoderInferencer,
    folder: str | os.PathLike,
    prove: Callable[[Path], Mapping[str, Any]],
    opset: int = 20,
    say: Callable[[str], None] = lambda line: None,
    tasks: Collection[str] | None = None,
) -> Path:
    """Write a folder that :class:`xdet.runtime.OnnxInferencer` runs. After an error there is none.

    Args:
        inferencer (XDecoderInferencer): The model, on a CPU.
        folder (str | os.PathLike): New folder.
        prove (Callable[[Path], Mapping[str, Any]]): Gets the finished folder and returns the certificate, see
            :func:`xdet.export.certificate.certify`; what it raises ends the export.
        opset (int): One of :data:`OPSETS`.
        say (Callable[[str], None]): Gets a line per step.
        tasks (Collection[str], optional): Names of the tasks that it is for; None means all that have graphs.

    Raises:
        ImportError: A package of the extra ``export`` is not installed.
        ValueError: The opset, the folder, a task or the model cannot be used, or the graphs are not proven.
    """
    for package in ('onnx', 'onnxscript'):
        import_optional(package, 'exporting', 'export')
    if isinstance(opset, bool) or not isinstance(opset, int) or opset not in OPSETS:
        raise ValueError(f'opset is {shorten(repr(opset))}; accepted are {OPSETS[0]} to {OPSETS[-1]}')
    if inferencer.device.type != 'cpu':
        raise ValueError(f'the model is on {inferencer.device}; it is exported from the CPU')
    has = [name for name in inferencer.task_names if name not in InteractiveTask.names]
    if strange := [name for name in tasks or () if name not in has]:
        raise ValueError(f'tasks: there is no {shorten(repr(strange[0]))}; accepted are {", ".join(has)}')
    wanted = [name for name in has if not tasks or name in tasks]
    with new_folder(folder) as unfinished:
        facts = dict(_facts(inferencer, wanted), opset=opset)
        facts.update(_write_graphs(inferencer, wanted, unfinished, opset, say))
        _write_tokens(unfinished / TOKENS)
        write_facts(unfinished / MANIFEST, facts)
        write_facts(unfinished / 'certificate.json', prove(unfinished))
    return expand(folder)


def _facts(inferencer: XDecoderInferencer, wanted: Collection[str]) -> dict[str, Any]:
    """What running the graphs needs to know."""
    model, origin = inferencer.model, inferencer.origin.describe()
    text, pixels = model.text_encoder, model.data_preprocessor
    tasks = {type(task): task for task in model.tasks.values() if set(task.names) & set(wanted)}
    pipelines = {task or '': pipeline for task, pipeline in inferencer.pipelines.items()}
    facts: dict[str, Any] = dict(
        format=FORMAT,
        xdet=__version__,
        model=origin['model'],
        weights=origin['weights'],
        weights_sha256=origin['weights_sha256'],
        note=origin.get('note'),
        versions={name: metadata.version(name) for name in ('torch', 'onnx', 'onnxscript')},
        pixels=dict(
            mean=pixels.mean.flatten().tolist(),
            std=pixels.std.flatten().tolist(),
            divisor=pixels.pad_size_divisor,
            bgr_to_rgb=pixels.bgr_to_rgb,
        ),
        sizes={task: size_rule(pipeline) for task, pipeline in pipelines.items() if not task or task in wanted},
        text=dict(
            tokens=TOKENS,
            context_length=text.context_length,
            encoder=text.fingerprint(),
            templates=list(TEMPLATES),
            templates_sha256=templates_fingerprint(),
        ),
        vocabulary=None,
        tasks={
            name: dict(
                prompts=[prompt for prompt in FORMATS[name].prompts if prompt != 'uncertainty'],  # reads all layers
                one_of=list(FORMATS[name].one_of),
                any_of=list(FORMATS[name].any_of),
                builds_on=list(FORMATS[name].builds_on),
                writes=FORMATS[name].writes,
                ranks=FORMATS[name].ranks,
            )
            for name in wanted
        },
    )
    if (default := inferencer.default_vocabulary) is not None:
        facts['vocabulary'] = dict(names=list(default.names), is_thing=list(default.is_thing))
    if inferencer.word_check is not None:
        facts['known_words'] = inferencer.word_check.known.to_plain()
    if inferencer.embedded is not None:
        facts['elsewhere'] = inferencer.embedded.elsewhere
    if inferencer.calibration is not None:
        learned = {name: inferencer.calibration.presence(name) for name in wanted}
        facts['presence'] = {name: value for name, value in learned.items() if value is not None}
    return facts | _task_facts(model, tasks)


def _task_facts(model: Any, tasks: Mapping[type, Any]) -> dict[str, Any]:
    """What running the graphs of tasks needs to know of these."""
    text, decoder = model.text_encoder, model.decoder
    blocks = text.transformer.resblocks
    facts: dict[str, Any] = {}
    if (segmenting := tasks.get(SegmentationTask)) is not None:
        facts['segments'] = dict(
            least=segmenting.object_mask_threshold,
            overlap=segmenting.overlap_threshold,
            background_score=segmenting.background_score,
        )
    if (referring := tasks.get(ReferringTask)) is not None:
        facts['phrases'] = dict(mode=referring.mode, per_pass=referring.phrases_per_pass)
    if (captioning := tasks.get(CaptioningTask)) is not None:
        heads = decoder.layers[0].self_attn.num_heads
        facts['captions'] = dict(
            generation=vars(captioning.generation),
            positions=captioning.position_embed.num_embeddings,
            first_sentence=captioning.first_sentence,
            text_keys=[len(blocks), blocks[0].attn.num_heads, text.width // blocks[0].attn.num_heads],
            keys=[len(decoder.layers), heads, text.embed_dims // heads],
        )
    if (answering := tasks.get(VQATask)) is not None:
        facts['answers'] = dict(names=list(answering.answers), top_k=answering.top_k)
    if (classifying := tasks.get(ClassificationTask)) is not None:
        facts['top_k'] = classifying.top_k
    return facts


def _write_graphs(
    inferencer: XDecoderInferencer, wanted: Collection[str], folder: Path, opset: int, say: Callable[[str], None]
) -> dict[str, Any]:
    """Graphs, and the weights of all of them in one file, each once."""
    written: dict[str, Graph] = {}

    def protos() -> Iterator[tuple[str, Any]]:
        for graph in graphs(inferencer.model, wanted):
            say(f'exporting {graph.name}')
            written[graph.name] = graph
            yield f'{graph.name}.onnx', _convert(graph, opset)

    with torch.no_grad():
        files = write_graphs(folder, protos())
    rows = {
        name: dict(files[f'{name}.onnx'], inputs=list(graph.inputs), outputs=list(graph.outputs))
        for name, graph in written.items()
    }
    return dict(graphs=rows, data=files[WEIGHTS])


def _convert(graph: Graph, opset: int) -> Any:
    """The graph as ONNX, checked for what exporters get wrong."""
    arguments, sizes = _arguments(graph, graph.inputs), _arguments(graph, graph.sizes)
    try:
        with _quiet():
            program = torch.onnx.export(
                graph.module,
                arguments,
                dynamo=True,
                dynamic_shapes=sizes,
                input_names=list(graph.inputs),
                output_names=list(graph.outputs),
                opset_version=opset,
                verbose=False,
            )
            assert program is not None  # as it is where a file is written
            proto = program.model_proto
    except Exception as error:  # of any type: each step of the exporter has its own
        reason = shorten(cause(error.__cause__ or error), 300)
        raise ValueError(f'graph {graph.name}: torch {torch.__version__} cannot export it ({reason})') from error
    found = next(entry.version for entry in proto.opset_import if entry.domain in ('', 'ai.onnx'))
    if found != opset:
        raise ValueError(f'graph {graph.name}: torch {torch.__version__} writes opset {found}, not {opset}')
    for node in proto.graph.node:
        attributes = {attribute.name: attribute.i for attribute in node.attribute}
        if node.op_type == 'GridSample' or (node.op_type == 'Resize' and attributes.get('antialias')):
            what = _FORBIDDEN[node.op_type]
            raise ValueError(f'graph {graph.name} holds {what}, which runtimes compute otherwise')
    for entry in proto.graph.input:
        shape = entry.type.tensor_type.shape.dim
        for axis in graph.sizes[entry.name]:
            if shape[axis].HasField('dim_value'):
                raise ValueError(
                    f'graph {graph.name}: axis {axis} of {entry.name} was fixed to {shape[axis].dim_value}'
                )
    _forget_origin(proto)
    return proto


def _arguments(graph: Graph, values: Mapping[str, Any]) -> tuple[Any, ...]:
    """Values by input as the arguments of the graph's module, which takes what belongs together as one tuple."""
    result: list[Any] = []
    last = ''
    for name in graph.inputs:
        stem = next((prefix for prefix in ('visible_', 'image_keys_', 'pixels_') if name.startswith(prefix)), '')
        if stem and stem == last:
            result[-1] += (values[name],)
        else:
            result.append((values[name],) if stem else values[name])
        last = stem
    return tuple(result)


def _forget_origin(proto: Any) -> None:
    """Drop notes about the modules and files that a graph was made from."""
    del proto.metadata_props[:]
    for part in (proto.graph, *proto.functions):
        del part.metadata_props[:]
        for entry in (*part.node, *getattr(part, 'initializer', ()), *part.value_info):
            del entry.metadata_props[:]
            entry.doc_string = ''
    for entry in (*proto.graph.input, *proto.graph.output):
        del entry.metadata_props[:]


def _write_tokens(path: Path) -> None:
    from open_clip.tokenizer import default_bpe

    shutil.copyfile(default_bpe(), path)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without torch's notes on each step."""
    loggers = map(logging.getLogger, ('torch.onnx', 'onnxscript', 'onnx_ir'))
    with hushed(*loggers), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        yield
