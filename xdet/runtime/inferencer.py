"""The inferencer of exported models: the call and the results of ``XDecoderInferencer``, without torch."""

from __future__ import annotations

import difflib
import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xdet.datasets.files.image_io import ImageReadError
from xdet.inference.inputs.images import ImageInput, ImageSource, expand_images
from xdet.inference.inputs.prompts import resolve_texts, resolve_vocabularies
from xdet.inference.inputs.regions import RegionError, Regions, resolve_boxes, resolve_masks
from xdet.inference.outputs.writer import ResultWriter
from xdet.io.reading import shorten
from xdet.io.schema import number, shown
from xdet.options import GENERATION, PROMPTS, REPORT
from xdet.structures import Vocabulary
from xdet.structures.generation import GenerationSettings
from xdet.version import __version__

from . import results
from .generation import generate
from .masks import mask_results
from .model import ExportedModel
from .regions import region_pixels, resize_regions
from .resizing import network_image, resizing_matrix
from .texts import Texts, padded

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from xdet.options import Options

Array = NDArray[Any]
_LOGGER = logging.getLogger(__name__)
_TOOLKIT_ONLY = ('return_vis', 'return_datasamples', 'color_by', 'print_result', 'formats')
_FEATURES = ('mask_features', 'memory_32', 'memory_16', 'memory_8')
_SCORE_BYTES = 2**28
"""Class scores of pixels are computed in parts of at most about this many bytes."""
_SELECTION: dict[str, tuple[type, float, float]] = dict(
    nms_iou=(float, 0, 1), min_area=(int, 0, np.inf), max_per_image=(int, 1, np.inf)
)


@dataclass
class EncodedImage:
    """An image after the expensive half of the model; what later prompts share is added when it is first needed.

    Attributes:
        source (ImageSource): Where it came from.
        size (tuple[int, int]): Height and width of the image.
        seen (tuple[int, int]): Of what the network saw, without padding.
        features (dict[str, Array]): Results of the graph ``image_encoder``.
    """

    source: ImageSource
    size: tuple[int, int]
    seen: tuple[int, int]
    features: dict[str, Array]
    _made: dict[str, Any] = field(default_factory=dict)

    def once(self, name: str, make: Callable[[], Any]) -> Any:
        """The value of ``name``, made when it is first asked for."""
        if name not in self._made:
            self._made[name] = make()
        return self._made[name]


@dataclass(frozen=True)
class Request:
    """What is asked of one image."""

    vocabulary: Vocabulary | None = None
    texts: tuple[str, ...] = ()
    regions: Regions | None = None
    generation: Mapping[str, Any] = field(default_factory=dict)


class OnnxInferencer:
    """Segments and describes images with an exported model; :class:`~xdet.inference.inferencer.XDecoderInferencer`
    explains the tasks and their prompts.

    Results are those of the toolkit (``certificate.json`` beside the graphs says how close), but for overlays, samples
    and printed summaries, which need the toolkit. Images run one by one.

    Args:
        folder (str | Path): The exported model, written by ``tools/deployment/export_onnx.py``.
        threads (int, optional): Threads; None leaves it to onnxruntime.
        providers (Sequence[str]): Of onnxruntime.
        text_embeddings (str | Path, optional): Class names embedded before, see ``tools/misc/embed_vocabulary.py``.

    Raises:
        ExportError: The folder or the embeddings cannot be used, or onnxruntime is missing.

    Examples:
        >>> from xdet.runtime import OnnxInferencer
        >>> inferencer = OnnxInferencer('exported')
        >>> inferencer('street.jpg', task='panoptic', things='car . person', stuff='road . sky')
    """

    def __init__(
        self,
        folder: str | Path,
        threads: int | None = None,
        providers: Sequence[str] = ('CPUExecutionProvider',),
        text_embeddings: str | Path | None = None,
    ) -> None:
        if threads is not None:
            threads = number('threads', threads, int, 1, 1024)
        self.model = ExportedModel(folder, threads, providers)
        self.facts = self.model.facts
        self.texts = Texts(self.model, text_embeddings)
        default = self.facts['vocabulary']
        self.default_vocabulary = (
            None if default is None else Vocabulary(tuple(default['names']), tuple(default['is_thing']))
        )
        self._current: EncodedImage | None = None
        self._run: dict[str, Callable[[EncodedImage, Request, Mapping[str, Any]], tuple[dict, dict]]] = dict(
            semantic=self._semantic,
            instance=self._instance,
            panoptic=self._panoptic,
            refseg=self._refseg,
            caption=self._caption,
            refcaption=self._refcaption,
            vqa=self._vqa,
            retrieval=self._retrieval,
            classification=self._classification,
        )

    def __repr__(self) -> str:
        return f'{type(self).__name__}(model={self.facts["model"]!r}, tasks={", ".join(self.task_names)})'

    @property
    def task_names(self) -> tuple[str, ...]:
        """Tasks of this model."""
        return tuple(self.facts['tasks'])

    def __call__(
        self,
        images: ImageInput | Sequence[ImageInput],
        task: str = 'panoptic',
        batch_size: int = 1,
        out_dir: str | Path = '',
        show_progress: bool = True,
        **options: Unpack[Options],
    ) -> dict[str, list]:
        """Run one task on one or many images; arguments, results and errors are those of the toolkit's inferencer.

        Args:
            images (ImageInput | Sequence[ImageInput]): Path, folder, pattern, URL, BGR uint8 array, Pillow image, or a
                list of these.
            task (str): One of :attr:`task_names`.
            batch_size (int): Accepted for the sake of the same call.
            out_dir (str | Path): Folder for ``preds/``; empty writes nothing.
            show_progress (bool): Count images on the terminal.
            **options: See :class:`~xdet.options.Options`.

        Returns:
            dict[str, list]: ``predictions``, ``visualization`` (empty), ``failed``; for retrieval also ``rankings``.
        """
        number('batch_size', batch_size, int, 1)
        sources, is_collection = expand_images(images, leave_out=out_dir or None)
        requests, report = self._prepare(task, len(sources), options)
        writer = self._writer(out_dir, [source.name for source in sources], report)
        predictions, failed = [], []
        for index, (source, request) in enumerate(zip(sources, requests, strict=True)):
            try:
                image = self._encode(source, task)
                predictions.append(self._predict(index, image, task, request, report, writer))
            except (ImageReadError, RegionError) as error:
                if not is_collection:
                    raise
                failed.append(dict(index=index, image=source.name, error=str(error)))
            if show_progress and len(sources) > 1 and sys.stderr.isatty():
                print(f'\r{index + 1}/{len(sources)}', end='\n' if index + 1 == len(sources) else '', file=sys.stderr)
        if failed:
            lines = [f'{len(failed)} of {len(sources)} images failed:', *(f'  {entry["error"]}' for entry in failed)]
            _LOGGER.warning('\n'.join(lines))
        return self._result(task, predictions, failed, writer)

    def set_image(self, image: ImageInput, task: str | None = None) -> EncodedImage:
        """Encode one image, so that many prompts and tasks on it are cheap.

        Args:
            image (ImageInput): Path, URL, array or Pillow image.
            task (str, optional): Resize the image as this task would; None is the model's default size.
        """
        sources, _ = expand_images(image)
        if len(sources) != 1:
            raise ValueError(f'set_image takes one image, not {len(sources)}')
        if task is not None:
            self._check_task(task)
        self._current = self._encode(sources[0], task)
        return self._current

    def predict(
        self,
        task: str = 'panoptic',
        image: EncodedImage | None = None,
        out_dir: str | Path = '',
        **options: Unpack[Options],
    ) -> dict[str, list]:
        """Run one task on an encoded image, by default that of the latest :meth:`set_image`."""
        image = self._current if image is None else image
        if image is None:
            raise ValueError('no image is set; call set_image(image) first')
        if not isinstance(image, EncodedImage):
            raise ValueError(f'image is a {type(image).__name__}; accepted is what set_image returned')
        requests, report = self._prepare(task, 1, options)
        writer = self._writer(out_dir, [image.source.name], report)
        return self._result(task, [self._predict(0, image, task, requests[0], report, writer)], [], writer)

    def _check_task(self, task: str) -> None:
        if not isinstance(task, str) or task not in self.task_names:
            raise ValueError(f'unknown task {shown(task)}; this model has {", ".join(self.task_names)}')

    def _prepare(self, task: str, count: int, options: Mapping[str, Any]) -> tuple[list[Request], dict[str, Any]]:
        """Requests of all images, and options of the report; everything is checked before any work is done."""
        known = [*PROMPTS, *GENERATION, *REPORT]
        unknown = [shorten(name, 60) for name in options if name not in known]
        if unknown:
            close = difflib.get_close_matches(unknown[0], known, n=1)
            hint = f'did you mean {close[0]}?' if close else f'accepted are {", ".join(known)}'
            raise TypeError(f'unknown argument {", ".join(unknown[:5])}; {hint}')
        given = {name: value for name, value in options.items() if value is not None}
        self._check_task(task)
        prompts, generation, report = (
            {key: given[key] for key in given if key in group} for group in (PROMPTS, GENERATION, REPORT)
        )
        self._check(task, prompts, generation, report)
        asked: dict[str, list[Any]] = {}
        names = {key: value for key, value in prompts.items() if PROMPTS[key].kind == 'names'}
        if 'vocabulary' in self.facts['tasks'][task]['prompts']:
            asked['vocabulary'] = resolve_vocabularies(count, **names, default=self.default_vocabulary)
        for key in (key for key in prompts if key not in names):
            if key == 'boxes':
                asked['regions'] = resolve_boxes(prompts[key], count)
            elif key == 'masks':
                asked['regions'] = resolve_masks(prompts[key], count)
            else:
                asked['texts'] = resolve_texts(key, prompts[key], count)
        requests = [
            Request(generation=generation, **{key: column[index] for key, column in asked.items()})
            for index in range(count)
        ]
        if self.facts['tasks'][task]['ranks'] and len({request.texts for request in requests}) > 1:
            raise ValueError(
                'texts differ between images, but they rank all images of the call; give one list of texts'
            )
        return requests, report

    def _check(
        self, task: str, prompts: Mapping[str, Any], generation: Mapping[str, Any], report: dict[str, Any]
    ) -> None:
        """Whether the task takes what was given and got what it needs."""
        form = self.facts['tasks'][task]
        for name in _TOOLKIT_ONLY:
            if report.pop(name, False):
                raise ValueError(f'{name} needs the toolkit (XDecoderInferencer); exported models return plain data')
        foreign = [key for key in prompts if key not in form['prompts']]
        if foreign:
            accepted = ', '.join(form['prompts']) or 'no prompts'
            raise ValueError(f"task '{task}' does not take {', '.join(foreign)}; accepted are {accepted}")
        if generation and not form['writes']:
            raise ValueError(f"task '{task}' does not take {', '.join(generation)}; only captions are written")
        if form['writes']:
            self._settings(generation)
        chosen = [key for key in form['one_of'] if key in prompts]
        if form['one_of'] and len(chosen) != 1 and not (report.get('return_embeddings') and not prompts):
            found = f'got {" and ".join(chosen)}' if chosen else 'got none'
            raise ValueError(f"task '{task}' takes one of {', '.join(form['one_of'])}, but {found}")
        if 'phrases' in prompts and 'phrases' not in self.model:
            raise ValueError(f"task '{task}' with phrases needs 'refseg', which this model does not have")
        report['pred_score_thr'] = number('pred_score_thr', report.get('pred_score_thr', 0.3), float, 0, 1)
        for name, (kind, least, most) in _SELECTION.items():
            if name in report:
                if task != 'instance':
                    raise ValueError(f"task '{task}' does not take {', '.join(_SELECTION)}; 'instance' does")
                report[name] = number(name, report[name], kind, least, most)

    def _settings(self, changes: Mapping[str, Any]) -> GenerationSettings:
        facts = self.facts['captions']
        settings = GenerationSettings().override(facts['generation']).override(changes)
        if settings.max_tokens >= facts['positions']:
            longest = facts['positions'] - 1
            raise ValueError(f'max_tokens is {settings.max_tokens}; this model writes up to {longest} tokens')
        return settings

    def _writer(self, out_dir: str | Path, names: list[str], report: Mapping[str, Any]) -> ResultWriter | None:
        wanted = out_dir is not None and str(out_dir) and not report.get('no_save_pred')
        return ResultWriter(out_dir, names) if wanted else None

    def _predict(
        self,
        index: int,
        image: EncodedImage,
        task: str,
        request: Request,
        report: Mapping[str, Any],
        writer: ResultWriter | None,
    ) -> dict[str, Any]:
        height, width = image.size
        prediction = dict(index=index, image=image.source.name, task=task, height=height, width=width)
        if request.vocabulary is not None:
            prediction['classes'] = list(request.vocabulary.names)
        found, maps = self._run[task](image, request, report)
        prediction.update(found)
        selection = {name: report[name] for name in _SELECTION if name in report}
        prediction['provenance'] = dict(
            xdet=__version__,
            model=self.facts['model'],
            weights=self.facts['weights'],
            weights_sha256=self.facts['weights_sha256'],
            **({} if self.facts['note'] is None else dict(note=self.facts['note'])),
            task=task,
            settings=dict(pred_score_thr=report['pred_score_thr'], **selection),
            prompts=_asked(task, request),
        )
        if report.get('return_embeddings') and 'embedding' in prediction:
            prediction['embedding'] = prediction.pop('embedding')
        else:
            prediction.pop('embedding', None)
        if writer is not None:
            writer.write(index, prediction, maps, None)
        return prediction

    def _result(
        self, task: str, predictions: list[dict], failed: list[dict], writer: ResultWriter | None
    ) -> dict[str, list]:
        result: dict[str, list] = dict(predictions=predictions, visualization=[], failed=failed)
        if self.facts['tasks'][task]['ranks']:
            result['rankings'] = results.rankings(predictions)
            if writer is not None and result['rankings']:
                writer.write_rankings(result['rankings'], [])
        return result

    def network_input(self, source: ImageSource, task: str | None) -> tuple[NDArray[np.float32], EncodedImage]:
        """Normalised, padded image ``[1, 3, H, W]`` in the size of a task, and the sizes, still without features.

        Raises:
            ImageReadError: The image cannot be read or resized.
        """
        image, pixels = source.read(), self.facts['pixels']
        rule = self.facts['sizes'].get(task) or self.facts['sizes']['']
        try:
            seen = network_image(image, rule)
        except (OSError, ValueError, ZeroDivisionError) as error:
            reason = f'an image of {image.shape[1]}x{image.shape[0]} pixels cannot be resized ({shorten(str(error))})'
            raise ImageReadError(source.name, reason) from error
        mean, std = (np.array(pixels[key], dtype=np.float32).reshape(3, 1, 1) for key in ('mean', 'std'))
        channels = seen[..., ::-1] if pixels['bgr_to_rgb'] else seen
        height, width = seen.shape[:2]
        divisor = pixels['divisor']
        sides = (-(-side // divisor) * divisor for side in (height, width))
        result = np.zeros((1, 3, *sides), dtype=np.float32)
        result[0, :, :height, :width] = (channels.transpose(2, 0, 1).astype(np.float32) - mean) / std
        return result, EncodedImage(source, (image.shape[0], image.shape[1]), (height, width), {})

    def _encode(self, source: ImageSource, task: str | None) -> EncodedImage:
        seen, image = self.network_input(source, task)
        names = self.facts['graphs']['image_encoder']['outputs']
        image.features.update(zip(names, self.model.run('image_encoder', image=seen), strict=True))
        return image

    def _features(self, image: EncodedImage) -> dict[str, Array]:
        return {name: image.features[name] for name in _FEATURES}

    def _latents(self, image: EncodedImage) -> dict[str, Array]:
        def make() -> dict[str, Array]:
            graph = self.facts['graphs']['decoder']
            found = self.model.run('decoder', **{name: image.features[name] for name in graph['inputs']})
            return dict(zip(graph['outputs'], found, strict=True))

        return image.once('latents', make)

    def _image_keys(self, image: EncodedImage) -> dict[str, Array]:
        def make() -> dict[str, Array]:
            keys = self.model.run('image_keys', **self._features(image))
            return {f'image_keys_{number}': layer for number, layer in enumerate(keys)}

        return image.once('image_keys', make)

    def _resizing(self, image: EncodedImage) -> dict[str, Array]:
        """The matrices that bring masks to the size of the image."""
        height, width = image.features['mask_features'].shape[2:]
        sizes = zip((height, width), image.seen, image.size, strict=True)
        rows, columns = (resizing_matrix(length, 4 * length, cut, size) for length, cut, size in sizes)
        return dict(rows=rows, columns=columns)

    def _segmenting(self, image: EncodedImage, vocabulary: Vocabulary) -> dict[str, Array]:
        latents = self._latents(image)
        return dict(
            **{name: value for name, value in latents.items() if name != 'latent_keys'},
            mask_features=image.features['mask_features'],
            text=self.texts.vocabulary(vocabulary),
        )

    def _semantic(self, image: EncodedImage, request: Request, report: Mapping[str, Any]) -> tuple[dict, dict]:
        vocabulary = request.vocabulary
        assert vocabulary is not None
        inputs, resizing = self._segmenting(image, vocabulary), self._resizing(image)
        height, width = image.size
        labels = np.empty((height, width), dtype=np.int64)
        pixels = max(1, _SCORE_BYTES // (4 * max(len(vocabulary), len(inputs['mask_embed']))))
        columns = min(width, pixels)
        rows = max(1, min(height, pixels // columns))
        for top in range(0, height, rows):
            for left in range(0, width, columns):
                part = np.s_[top : top + rows], np.s_[left : left + columns]
                sizes = dict(rows=resizing['rows'][part[0]], columns=resizing['columns'][part[1]])
                labels[part] = self.model.run('semantic', **inputs, **sizes)[0]
        return results.semantic(labels, vocabulary), dict(semantic=results.label_map(labels, vocabulary))

    def _instance(self, image: EncodedImage, request: Request, report: Mapping[str, Any]) -> tuple[dict, dict]:
        vocabulary = request.vocabulary
        assert vocabulary is not None
        things = np.array(vocabulary.is_thing)
        inputs = {**self._segmenting(image, vocabulary), 'is_thing': things, **self._resizing(image)}
        labels, scores, queries, masks, _ = self.model.run('instance', **inputs)
        return results.instance(labels, scores, queries, masks, vocabulary, report), {}

    def _panoptic(self, image: EncodedImage, request: Request, report: Mapping[str, Any]) -> tuple[dict, dict]:
        vocabulary = request.vocabulary
        assert vocabulary is not None
        things = np.array(vocabulary.is_thing)
        inputs = {**self._segmenting(image, vocabulary), 'is_thing': things, **self._resizing(image)}
        ids, labels, scores = self.model.run('panoptic', **inputs)
        return results.panoptic(ids, labels, scores, vocabulary), dict(panoptic=results.id_map(ids))

    def _find(self, image: EncodedImage, texts: Sequence[str]) -> tuple[Array, Array, Array]:
        """Masks, scores and similarities of phrases."""
        facts, encoded = self.facts['phrases'], self.texts.whole(texts)
        sets = [encoded] if facts['mode'] == 'joint' else [[text] for text in encoded]
        fixed = {**self._features(image), **self._resizing(image)}
        found = []
        for start in range(0, len(sets), facts['per_pass']):
            part = sets[start : start + facts['per_pass']]
            rows = [np.concatenate([text.tokens for text in own]) for own in part]
            tokens, valid = padded(rows)
            pooled = np.stack([np.stack([text.pooled for text in own]) for own in part])
            made = self.model.run('phrases', **fixed, phrase_tokens=tokens, valid=valid, phrase_features=pooled)
            found.append([result.reshape(-1, *result.shape[2:]) for result in made[:3]])
        masks, scores, similarities = (np.concatenate(column) for column in zip(*found, strict=True))
        return masks, scores, similarities

    def _refseg(self, image: EncodedImage, request: Request, report: Mapping[str, Any]) -> tuple[dict, dict]:
        return results.phrases(request.texts, *self._find(image, request.texts)), {}

    def _write(self, image: EncodedImage, settings: GenerationSettings, region: Array | None) -> list[dict[str, Any]]:
        """Captions of the image or of a region, bool ``[H, W]`` in its size."""
        writer = _CaptionWriter(self, image, settings.rows, region)
        texts = []
        for found in generate(writer, settings):
            text = self.texts.tokenizer.decode(found.ids)
            text = text.split('.')[0].strip() if self.facts['captions']['first_sentence'] else text
            texts.append(dict(text=text, score=found.score))
        return texts

    def _caption(self, image: EncodedImage, request: Request, report: Mapping[str, Any]) -> tuple[dict, dict]:
        return dict(captions=self._write(image, self._settings(request.generation), None)), {}

    def _refcaption(self, image: EncodedImage, request: Request, report: Mapping[str, Any]) -> tuple[dict, dict]:
        settings = self._settings(request.generation)
        known: list[dict[str, Any]] = []
        if request.regions is not None:
            masks = request.regions.arrays(*image.size, image.source.name)
            known = [{} for _ in masks]
        else:
            masks, scores, _ = self._find(image, request.texts)
            pairs = zip(request.texts, scores.tolist(), strict=True)
            known = [dict(phrase=phrase, score=score) for phrase, score in pairs]
        regions = [
            {**names, 'captions': self._write(image, settings, mask), **mask_results(mask)}
            for names, mask in zip(known, masks, strict=True)
        ]
        return dict(regions=regions), {}

    def _vqa(self, image: EncodedImage, request: Request, report: Mapping[str, Any]) -> tuple[dict, dict]:
        facts, encoded = self.facts['answers'], self.texts.whole(request.texts)
        tokens, _ = padded([text.tokens for text in encoded])
        ends = np.array([len(text.tokens) - 1 for text in encoded])
        keys = dict(latent_keys=self._latents(image)['latent_keys'], **self._image_keys(image))
        (probabilities,) = self.model.run('answers', question_tokens=tokens, ends=ends, **keys)
        answers = [
            dict(
                question=question,
                answers=[
                    dict(answer=name, score=score)
                    for _, name, score in results.best(row, facts['names'], facts['top_k'])
                ],
            )
            for question, row in zip(request.texts, probabilities, strict=True)
        ]
        return dict(answers=answers), {}

    def _retrieval(self, image: EncodedImage, request: Request, report: Mapping[str, Any]) -> tuple[dict, dict]:
        encoded = self.texts.whole(request.texts or ('',))
        embedding, _, scores = self.model.run(
            'retrieval',
            class_embed=self._latents(image)['class_embed'],
            image_mean=image.features['image_mean'],
            pooled=np.stack([text.pooled for text in encoded]),
        )
        texts = [
            dict(text=text, score=score)
            for text, score in zip(request.texts, scores.tolist()[: len(request.texts)], strict=True)
        ]
        return dict(texts=texts, embedding=embedding.tolist()), {}

    def _classification(self, image: EncodedImage, request: Request, report: Mapping[str, Any]) -> tuple[dict, dict]:
        vocabulary = request.vocabulary
        assert vocabulary is not None
        text = self.texts.vocabulary(vocabulary)
        (probabilities,) = self.model.run('classification', class_embed=self._latents(image)['class_embed'], text=text)
        rows = results.best(probabilities, vocabulary.names, self.facts['top_k'])
        return dict(top_classes=[dict(label=label, name=name, score=score) for label, name, score in rows]), {}


class _CaptionWriter:
    """Next-token logits of captions of one image or region."""

    def __init__(self, inferencer: OnnxInferencer, image: EncodedImage, rows: int, region: Array | None) -> None:
        facts = inferencer.facts['captions']
        self._model = inferencer.model
        self._fixed = dict(latent_keys=inferencer._latents(image)['latent_keys'], **inferencer._image_keys(image))
        levels = [image.features[name].shape[2:] for name in _FEATURES[1:]]
        for stride, size in zip((32, 16, 8), levels, strict=True):
            seen: Array = np.ones((1, size[0] * size[1]), dtype=bool)
            if region is not None:
                whole = np.zeros([32 * side for side in levels[0]], dtype=bool)
                whole[: image.seen[0], : image.seen[1]] = resize_regions(region, image.seen)
                seen = region_pixels(whole, size)[None]
            self._fixed[f'visible_{stride}'] = seen.repeat(rows, axis=0)
        layers, heads, width = facts['text_keys']
        self._text_past = np.zeros((layers, 2, rows, heads, 0, width), dtype=np.float32)
        layers, heads, width = facts['keys']
        self._past = np.zeros((layers, 2, rows, heads, 0, width), dtype=np.float32)

    def step(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        logits, self._text_past, self._past = self._model.run(
            'caption_step', next_ids=ids[:, None], text_past=self._text_past, past=self._past, **self._fixed
        )
        return logits

    def reorder(self, rows: NDArray[np.int64]) -> None:
        self._text_past, self._past = self._text_past[:, :, rows], self._past[:, :, rows]


def _asked(task: str, request: Request) -> dict[str, Any]:
    """Prompts as plain data; class names stand in the result itself, masks are only counted."""
    kinds = dict(vqa='questions', retrieval='texts')
    plain: dict[str, Any] = {kinds.get(task, 'phrases'): list(request.texts)} if request.texts else {}
    if request.regions is not None:
        given = request.regions.masks if request.regions.boxes is None else request.regions.boxes
        plain['masks'] = len(given)
    return plain | (dict(generation=dict(request.generation)) if request.generation else {})
