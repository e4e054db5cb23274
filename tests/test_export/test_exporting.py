"""The tiny model as graphs: what is written, that it is proven, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from xdet.apis import XDecoderInferencer
from xdet.export.sizes import size_rule

GRAPHS = {
    *('image_encoder', 'text_encoder', 'decoder', 'image_keys', 'names', 'semantic', 'instance', 'panoptic', 'phrases'),
    *('caption_step', 'answers', 'retrieval', 'classification'),
}


def facts(folder: Path, name: str = 'model.json') -> dict[str, Any]:
    return json.loads((folder / name).read_text())


def test_all_graphs_share_one_file_of_weights(exported: Path) -> None:
    found = facts(exported)
    assert set(found['graphs']) == GRAPHS
    assert {path.name for path in exported.iterdir()} == {
        *(f'{name}.onnx' for name in GRAPHS),
        *('model.json', 'certificate.json', 'weights.bin', 'tokens.txt.gz'),
    }
    # Of the 0.9 M parameters, the table of tokens is in two graphs and the decoder in four.
    assert found['data']['bytes'] < 5e6


@pytest.mark.parametrize(
    ('graph', 'name', 'shape'),
    [
        ('image_encoder', 'image', [1, 3, None, None]),
        ('text_encoder', 'ids', [None, None]),
        ('names', 'text', [None, 32]),
        ('panoptic', 'probabilities', [11, None]),
        ('panoptic', 'overlap', []),
        ('panoptic', 'is_thing', [None]),
        ('semantic', 'rows', [None, None]),
        ('phrases', 'phrase_tokens', [None, None, 32]),
        ('caption_step', 'past', [2, 2, None, 2, None, 16]),
        ('answers', 'question_tokens', [None, None, 32]),
    ],
)
def test_what_is_asked_is_an_input_of_open_size(exported: Path, graph: str, name: str, shape: list) -> None:
    import onnx

    proto = onnx.load(str(exported / f'{graph}.onnx'), load_external_data=False)
    inputs = {entry.name: entry.type.tensor_type.shape.dim for entry in proto.graph.input}
    assert [side.dim_value if side.HasField('dim_value') else None for side in inputs[name]] == shape


@pytest.mark.parametrize('graph', sorted(GRAPHS))
def test_graphs_hold_no_resizing_that_runtimes_compute_otherwise_and_no_paths(exported: Path, graph: str) -> None:
    import onnx

    proto = onnx.load(str(exported / f'{graph}.onnx'), load_external_data=False)
    for node in proto.graph.node:
        settings = {attribute.name: attribute.i for attribute in node.attribute}
        assert node.op_type != 'GridSample'
        assert not settings.get('antialias')
    assert b'.py' not in (exported / f'{graph}.onnx').read_bytes()


def test_certificate_says_what_was_compared(exported: Path) -> None:
    certificate, manifest = facts(exported, 'certificate.json'), facts(exported)
    assert certificate['images'] >= 20
    assert len(certificate['sizes']) >= 4
    assert certificate['opset'] == 20
    assert certificate['graphs'] == {name: row['sha256'] for name, row in manifest['graphs'].items()}
    assert set(certificate['versions']) == {'torch', 'onnx', 'onnxscript', 'onnxruntime', 'xdet'}
    assert max(row['relative'] for row in certificate['outputs'].values()) < 1e-3
    assert certificate['agreement']['panoptic_quality'] > 99
    assert {'mask_features', 'class_embed', 'text', 'caption_scores', 'embedding'} <= set(certificate['outputs'])


@pytest.mark.parametrize('opset', [17, 24, 20.0, True, 'newest'])
def test_opset_that_cannot_be_written(exportable: XDecoderInferencer, tmp_path: Path, opset: Any) -> None:
    pytest.importorskip('onnxscript')
    from xdet.export.exporting import export

    with pytest.raises(ValueError, match=f"opset is '?{opset}'?; accepted are 18 to 23"):
        export(exportable, tmp_path / 'out', lambda folder: {}, opset)
    assert not list(tmp_path.iterdir())


def test_tasks_that_are_wanted(exportable: XDecoderInferencer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip('onnxscript')
    from xdet.export import exporting

    written: list[str] = []

    def write(inferencer: Any, wanted: Any, *args: Any) -> dict:
        written.extend(graph.name for graph in exporting.graphs(inferencer.model, wanted))
        return dict(graphs={}, data={})

    monkeypatch.setattr(exporting, '_write_graphs', write)
    exporting.export(exportable, tmp_path / 'out', lambda folder: {}, tasks=['refseg', 'panoptic'])
    found = facts(tmp_path / 'out')
    assert set(found['tasks']) == {'panoptic', 'refseg'} and 'phrases' in found
    assert not {'captions', 'answers', 'top_k'} & set(found)
    assert written == ['image_encoder', 'text_encoder', 'decoder', 'names', 'panoptic', 'phrases']
    with pytest.raises(ValueError, match=r"tasks: there is no 'clicks'; accepted are .*panoptic"):
        exporting.export(exportable, tmp_path / 'other', lambda folder: {}, tasks=['panoptic', 'clicks'])
    assert [path.name for path in tmp_path.iterdir()] == ['out']


def test_folder_with_something_in_it_is_kept(exportable: XDecoderInferencer, tmp_path: Path) -> None:
    pytest.importorskip('onnxscript')
    from xdet.export.exporting import export

    (tmp_path / 'mine.txt').write_text('mine')
    with pytest.raises(ValueError, match='exists; give a new or an empty folder'):
        export(exportable, tmp_path, lambda folder: {})
    assert [path.name for path in tmp_path.iterdir()] == ['mine.txt']


def test_without_proof_nothing_is_left(
    exportable: XDecoderInferencer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip('onnxscript')
    from xdet.export import exporting

    def differ(folder: Path) -> dict:
        assert (folder / 'model.json').exists()
        raise ValueError('mask_features differs')

    monkeypatch.setattr(exporting, '_write_graphs', lambda *args: dict(graphs={}, data={}))
    with pytest.raises(ValueError, match='mask_features differs'):
        exporting.export(exportable, tmp_path / 'out', differ)
    assert not list(tmp_path.iterdir())


def test_weights_that_changed_are_refused(
    exported: Path, exportable: XDecoderInferencer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xdet.export.certificate import certify, default_images

    monkeypatch.setattr('xdet.export.certificate.LEAST_IMAGES', 1)

    bias = exportable.model.decoder.mask_embed.layers[-1].bias
    kept = bias.detach().clone()
    try:
        with torch.no_grad():
            bias += 1
        with pytest.raises(ValueError, match='mask_embed differs by .* accepted are 0.001 and 99 %'):
            certify(exportable, exported, default_images(1))
    finally:
        with torch.no_grad():
            bias.copy_(kept)


def test_too_few_images_prove_nothing(exported: Path, exportable: XDecoderInferencer) -> None:
    from xdet.export.certificate import certify, default_images

    with pytest.raises(ValueError, match='3 images are too few for a certificate; 20 are needed'):
        certify(exportable, exported, default_images(3))


@pytest.mark.parametrize(
    ('steps', 'message'),
    [
        ([], 'resize images once; the inference pipeline has none'),
        ([dict(type='mmdet.Resize', scale=(64, 64), keep_ratio=True, backend='pillow')], 'keep_ratio=False'),
        ([dict(type='mmdet.Resize', scale=(64, 64), keep_ratio=False)], 'with Pillow, which Resize does not'),
    ],
)
def test_pipeline_that_the_runtime_does_not_know(steps: list[dict], message: str) -> None:
    from mmengine.dataset import Compose

    pipeline = Compose([dict(type='LoadXDetImage'), *steps, dict(type='PackXDetInputs', test_mode=True)])
    with pytest.raises(ValueError, match=message):
        size_rule(pipeline)
