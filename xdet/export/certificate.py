"""Proof that exported graphs compute what the model computes: both run the same images, and differences are told."""

from __future__ import annotations

import logging
import platform
from collections import defaultdict
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from xdet.datasets.exchange.polygons import iou
from xdet.evaluation.panoptic_quality import ClassCounts, match_segments
from xdet.inference.inferencer import XDecoderInferencer
from xdet.inference.loaded import EncodedImage
from xdet.model_zoo import config_root
from xdet.runtime import OnnxInferencer
from xdet.scenes.render import render_scene
from xdet.scenes.sampling import sample_scene
from xdet.structures import Vocabulary, decode_mask

Array = NDArray[Any]
LEAST_IMAGES = 20
MOST_DIFFERENCE = 1e-3
"""Bound of the largest difference of an output, in units of its largest value."""
LEAST_AGREEMENT = 99.0
"""Bound of the agreement of segments in percent: single pixels lie on the edge of a decision."""

_NAMES = Vocabulary(
    ('person', 'car', 'dog', 'red circle', 'sky', 'grass', 'water'), (True, True, True, True, False, False, False)
)
_RIVAL = 'wall'
_PHRASES = ('the largest object', 'a red thing on the left', 'sky')
_QUESTIONS = ('what is it?', 'how many are there on the left side?')


def default_images(count: int = LEAST_IMAGES) -> list[Array]:
    """Images of several sizes and shapes, BGR uint8: landscape, portrait, square and very long ones.

    Every other one is of the photographs of the demo, where these are; the others are generated scenes.
    """
    shapes = ((96, 128), (128, 96), (128, 128), (75, 200), (200, 131), (33, 64), (240, 180), (150, 333))
    photographs = sorted((config_root().parent / 'demo' / 'photos').glob('*.jpg'))
    images = []
    for index in range(count):
        height, width = shapes[index // 2 % len(shapes)] if photographs else shapes[index % len(shapes)]
        if photographs and index % 2:
            with Image.open(photographs[index // 2 % len(photographs)]) as photograph:
                fitted = ImageOps.fit(photograph.convert('RGB'), (2 * width, 2 * height))
            images.append(np.ascontiguousarray(np.asarray(fitted)[..., ::-1]))
            continue
        scene = render_scene(sample_scene('val', 0, index), max(height, width)).image
        images.append(np.ascontiguousarray(scene[:height, :width]))
    return images


def certify(
    inferencer: XDecoderInferencer,
    folder: Path,
    images: Sequence[Any] | None = None,
    difference: float = MOST_DIFFERENCE,
    agreement: float = LEAST_AGREEMENT,
    least: int | None = None,
) -> dict[str, Any]:
    """Run images through a model and its exported graphs.

    Args:
        inferencer (XDecoderInferencer): The model.
        folder (Path): The exported one.
        images (Sequence, optional): At least :data:`LEAST_IMAGES` images or paths; None: :func:`default_images`.
        difference (float): Accepted difference of outputs, relative to the largest value of each.
        agreement (float): Accepted agreement of segments in percent.
        least (int, optional): Fewest images; None: :data:`LEAST_IMAGES`. The certificate says how many there were.

    Returns:
        dict: The certificate: ``outputs`` (``largest``, ``relative``), ``agreement``, bounds, versions and hashes.

    Raises:
        ValueError: There are too few images, or something differs by more than the bounds.
    """
    exported = OnnxInferencer(folder)
    report = compare(inferencer, exported, images, least)
    certificate = dict(report, bounds=dict(relative=difference, agreement=agreement), **_provenance(exported))
    worst = {name: row['relative'] for name, row in report['outputs'].items() if not row['relative'] <= difference}
    poor = {name: value for name, value in report['agreement'].items() if not value >= agreement}
    if worst or poor:
        found = [f'{name} differs by {value:.2g} of its largest value' for name, value in worst.items()]
        found += [f'{name} agrees in {value:.2f} %' for name, value in poor.items()]
        raise ValueError(
            f'the graphs do not compute what the model computes: {", ".join(found)}; accepted are {difference:.2g} and '
            f'{agreement:.4g} %'
        )
    return certificate


def compare(
    inferencer: XDecoderInferencer, exported: OnnxInferencer, images: Sequence[Any] | None, least: int | None = None
) -> dict[str, Any]:
    """Differences of outputs and agreement of results over all tasks, without judging them."""
    pictures = default_images() if images is None else list(images)
    least = LEAST_IMAGES if least is None else least
    if len(pictures) < least:
        raise ValueError(f'{len(pictures)} images are too few for a certificate; {least} are needed')
    comparison = _Comparison(inferencer, exported)
    # A config may have sizes for tasks that its model does not have.
    rules = [task or None for task in exported.facts['sizes'] if not task or task in exported.task_names]
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)  # both say of every image which of the names are far from their training
    try:
        for index, picture in enumerate(pictures):
            comparison.add(picture, rules[index % len(rules)])
    finally:
        logging.disable(disabled)
    return comparison.report()


class _Comparison:
    def __init__(self, inferencer: XDecoderInferencer, exported: OnnxInferencer) -> None:
        self._model, self._exported = inferencer, exported
        self._vocabulary = inferencer.default_vocabulary or _NAMES
        self._largest: dict[str, float] = defaultdict(float)
        self._scale: dict[str, float] = defaultdict(float)
        self._counts = ClassCounts()
        self._agreement: dict[str, list[float]] = defaultdict(list)
        self._sizes: set[str] = set()
        self._images = 0

    def add(self, picture: Any, rule: str | None) -> None:
        """Run everything on one image, in the size of task ``rule``."""
        here, there = self._model.set_image(picture, rule), self._exported.set_image(picture, rule)
        self._images += 1
        height, width = there.features['mask_features'].shape[2:]
        self._sizes.add(f'{4 * height}x{4 * width}')
        self._outputs(here, there)
        names = self._vocabulary
        classes = Vocabulary(names.names[: 1 + len(self._sizes)], names.is_thing[: 1 + len(self._sizes)])
        prompts: dict[str, dict[str, Any]] = {
            **{task: dict(vocabulary=names) for task in ('panoptic', 'semantic', 'instance')},
            'classification': dict(vocabulary=classes),
            'refseg': dict(phrases=list(_PHRASES)),
            'caption': {},
            'refcaption': dict(boxes=[[1, 2, 30, 31]]),
            'vqa': dict(questions=list(_QUESTIONS)),
            'retrieval': dict(texts=list(_PHRASES), return_embeddings=True),
        }
        for task in self._exported.task_names:
            pair = [one.predict(task, **prompts[task])['predictions'][0] for one in (self._model, self._exported)]
            getattr(self, f'_{task}')(*pair)
            here, there = pair
            if 'presence' in here:
                self._differ('presence', here['presence'], there['presence'])
            self._agreement['unknown_prompts'].append(here.get('unknown_prompts') == there.get('unknown_prompts'))
        if 'panoptic' in self._exported.task_names:
            limits: dict[str, Any] = dict(vocabulary=classes, background=[_RIVAL], score=0.2, presence=0.1, overlap=0.5)
            self._pixels(
                'limited_pixels', *(one.predict(**limits)['predictions'][0] for one in (self._model, self._exported))
            )

    def report(self) -> dict[str, Any]:
        """What was found."""
        agreement = {name: float(100 * np.mean(values)) for name, values in sorted(self._agreement.items())}
        if self._counts.seen:
            # Over all segments, not the mean of classes, of which some have one segment of a few pixels.
            agreement['panoptic_quality'] = 100 * self._counts.quality[0]
        outputs = {
            name: dict(largest=largest, relative=largest / max(self._scale[name], 1e-12))
            for name, largest in sorted(self._largest.items())
        }
        return dict(images=self._images, sizes=sorted(self._sizes), outputs=outputs, agreement=agreement)

    def _differ(self, name: str, here: Any, there: Any) -> None:
        here, there = np.asarray(here, dtype=np.float64), np.asarray(there, dtype=np.float64)
        if here.shape != there.shape:
            raise ValueError(f'{name} is {there.shape} in the graph and {here.shape} in the model')
        if here.size:
            # A value that is not finite differs from everything.
            gap = np.abs(here - there)
            self._largest[name] = max(self._largest[name], float(np.where(np.isfinite(gap), gap, 1e30).max()))
            self._scale[name] = max(self._scale[name], float(np.abs(here).max()))

    def _outputs(self, here: EncodedImage, there: Any) -> None:
        features = here.features
        self._differ('mask_features', features.mask_features, there.features['mask_features'])
        for stride, level in zip((32, 16, 8), features.memory, strict=True):
            self._differ(f'memory_{stride}', level, there.features[f'memory_{stride}'])
        with torch.no_grad():
            layer = here.latent_pass.outputs.last
            table = self._model.model.vocabulary(self._vocabulary)[:-1]
        latents = there.latents
        self._differ('class_embed', layer.class_embed[0], latents['class_embed'])
        self._differ('mask_embed', layer.mask_embed[0], latents['mask_embed'])
        self._differ('text', table, self._exported.texts.vocabulary(self._vocabulary))

    def _panoptic(self, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
        maps = self._pixels('panoptic_pixels', here, there)
        found = match_segments(maps[0], here['segments'], maps[1], there['segments'])
        for counts in found.values():
            self._counts += counts
        if len(here['segments']) == len(there['segments']):
            self._scores('panoptic_scores', here['segments'], there['segments'])

    def _pixels(self, name: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> list[torch.Tensor]:
        maps = [_id_map(result) for result in (here, there)]
        self._agreement[name].append(float((maps[0] == maps[1]).double().mean()))
        return maps

    def _semantic(self, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
        labels = []
        for result in (here, there):
            canvas = np.full((result['height'], result['width']), -1)
            for segment in result['segments']:
                canvas[decode_mask(segment['segmentation'])] = segment['label']
            labels.append(canvas)
        self._agreement['semantic_pixels'].append(float((labels[0] == labels[1]).mean()))

    def _instance(self, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
        """Of the instances that count (score from 0.05), how well their partners of the same class fit."""
        theirs = [segment for segment in there['segments'] if segment['score'] > 0.04]
        for segment in here['segments']:
            if segment['score'] >= 0.05:
                rivals = (other['segmentation'] for other in theirs if other['label'] == segment['label'])
                alike = (iou(segment['segmentation'], rival) for rival in rivals)
                self._agreement['instance_masks'].append(max(alike, default=0.0))

    def _refseg(self, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
        for segment, other in zip(here['segments'], there['segments'], strict=True):
            self._agreement['phrase_masks'].append(iou(segment['segmentation'], other['segmentation']))
            self._differ('phrase_similarities', segment['similarity'], other['similarity'])

    def _caption(self, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
        same = here['captions'][0]['text'] == there['captions'][0]['text']
        self._agreement['captions'].append(float(same))
        if same:
            self._scores('caption_scores', here['captions'], there['captions'])

    def _refcaption(self, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
        for region, other in zip(here['regions'], there['regions'], strict=True):
            self._agreement['region_captions'].append(
                float(region['captions'][0]['text'] == other['captions'][0]['text'])
            )

    def _vqa(self, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
        for row, other in zip(here['answers'], there['answers'], strict=True):
            self._agreement['answers'].append(float(row['answers'][0]['answer'] == other['answers'][0]['answer']))
            self._scores('answer_probabilities', row['answers'], other['answers'])

    def _retrieval(self, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
        self._differ('embedding', here['embedding'], there['embedding'])
        self._scores('retrieval_scores', here['texts'], there['texts'])

    def _classification(self, here: Mapping[str, Any], there: Mapping[str, Any]) -> None:
        self._scores('class_probabilities', here['top_classes'], there['top_classes'])

    def _scores(self, name: str, here: Sequence[Mapping[str, Any]], there: Sequence[Mapping[str, Any]]) -> None:
        self._differ(name, [row['score'] for row in here], [row['score'] for row in there])


def _id_map(result: Mapping[str, Any]) -> torch.Tensor:
    canvas = torch.zeros((result['height'], result['width']), dtype=torch.int64)
    for segment in result['segments']:
        canvas[torch.from_numpy(decode_mask(segment['segmentation']))] = segment['id']
    return canvas


def _provenance(exported: OnnxInferencer) -> dict[str, Any]:
    facts = exported.facts
    return dict(
        model=facts['model'],
        weights=facts['weights'],
        weights_sha256=facts['weights_sha256'],
        opset=facts['opset'],
        graphs={name: row['sha256'] for name, row in facts['graphs'].items()},
        data_sha256=facts['data']['sha256'],
        versions=dict(facts['versions'], xdet=facts['xdet'], onnxruntime=metadata.version('onnxruntime')),
        machine=platform.machine(),
    )
