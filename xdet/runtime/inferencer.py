"""The inferencer of exported models: the call and the results of ``XDecoderInferencer``, without torch."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xdet.datasets.files.image_io import ImageReadError
from xdet.inference.inputs.images import ImageInput, expand_images
from xdet.inference.inputs.options import split_options
from xdet.inference.inputs.regions import RegionError
from xdet.inference.inputs.requests import make_requests
from xdet.inference.outputs.provenance import asked
from xdet.inference.outputs.writer import ResultWriter
from xdet.io.reading import listed
from xdet.io.schema import number, shown
from xdet.options import refuse_untaken
from xdet.structures import TextPrompts, Vocabulary
from xdet.version import __version__

from . import results
from .encoded import EncodedImage, encode
from .model import ExportedModel
from .tasks import Tasks
from .texts import Texts
from .words import ExportedWordCheck

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from xdet.options import Options

_LOGGER = logging.getLogger(__name__)
_TOOLKIT_ONLY = (
    *('return_vis', 'return_datasamples', 'color_by', 'print_result', 'formats'),
    *('oriented_boxes', 'polygons', 'views', 'min_part'),
)
_SELECTION: dict[str, tuple[type, float, float]] = dict(
    nms_iou=(float, 0, 1), min_area=(int, 0, np.inf), max_per_image=(int, 1, np.inf)
)


@dataclass(frozen=True)
class _Form:
    """How a task is asked, as :class:`xdet.structures.TaskFormat` says it in the toolkit."""

    prompts: Sequence[str]
    one_of: Sequence[str]
    any_of: Sequence[str]
    builds_on: Sequence[str]
    writes: bool
    ranks: bool

    @staticmethod
    def own_options() -> dict[str, Any]:
        """None: tasks of other packages are not exported."""
        return {}


class OnnxInferencer:
    """Segments and describes images with an exported model; :class:`~xdet.inference.inferencer.XDecoderInferencer`
    explains the tasks and their prompts.

    Results are those of the toolkit (``certificate.json`` beside the graphs says how close), but for overlays, samples
    and printed summaries, which need the toolkit. Images run one by one.

    Args:
        folder (str | Path): The exported model, written by ``tools/deployment/export_onnx.py``.
        threads (int, optional): Threads; None leaves it to the backend.
        providers (Sequence[str], optional): Of onnxruntime; None is the CPU.
        text_embeddings (str | Path, optional): Class names embedded before, see ``tools/misc/embed_vocabulary.py``.
        backend (str): ``'onnxruntime'`` or ``'openvino'``, which runs the same files.

    Raises:
        ExportError: The folder or the embeddings cannot be used, or the backend is missing.

    Examples:
        >>> from xdet.runtime import OnnxInferencer
        >>> inferencer = OnnxInferencer('exported')
        >>> inferencer('cat.jpg', task='panoptic', things='cat . dog . person')
    """

    def __init__(
        self,
        folder: str | Path,
        threads: int | None = None,
        providers: Sequence[str] | None = None,
        text_embeddings: str | Path | None = None,
        backend: str = 'onnxruntime',
    ) -> None:
        if threads is not None:
            threads = number('threads', threads, int, 1, 1024)
        self.model = ExportedModel(folder, threads, providers, backend)
        self.facts = self.model.facts
        self.texts = Texts(self.model, text_embeddings)
        default = self.facts['vocabulary']
        self.default_vocabulary = (
            None if default is None else Vocabulary(tuple(default['names']), tuple(default['is_thing']))
        )
        known = self.facts.get('known_words')
        self.word_check = None if known is None else ExportedWordCheck(known, self.texts)
        self._forms = {name: _Form(**facts) for name, facts in self.facts['tasks'].items()}
        self._tasks = Tasks(self.model, self.texts)
        self._current: EncodedImage | None = None

    def __repr__(self) -> str:
        return f'{type(self).__name__}(model={self.facts["model"]!r}, tasks={", ".join(self.task_names)})'

    @property
    def task_names(self) -> tuple[str, ...]:
        """Tasks of this model."""
        return tuple(self._forms)

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
                image = encode(self.model, source, task)
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
        self._current = encode(self.model, sources[0], task)
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

    def _prepare(self, task: str, count: int, options: Mapping[str, Any]) -> tuple[list[TextPrompts], dict[str, Any]]:
        """What is asked of all images, and options of the report; everything is checked before any work is done."""
        prompts, generation, report = split_options(options, self._forms)
        self._check_task(task)
        for name in _TOOLKIT_ONLY:
            if report.pop(name, False):
                raise ValueError(f'{name} needs the toolkit (XDecoderInferencer); exported models return plain data')
        refuse_untaken(task, report)
        learned = self.facts.get('presence', {}).get(task)
        if learned is not None:
            prompts.setdefault('presence', learned)
        report.setdefault('pred_score_thr', 0.0 if 'score' in prompts else 0.3)
        for name, (kind, least, most) in _SELECTION.items():
            if name in report:
                report[name] = number(name, report[name], kind, least, most)
        needed = not report.get('return_embeddings')
        requests = make_requests(task, prompts, generation, count, self.default_vocabulary, needed, formats=self._forms)
        if generation:
            self._tasks.settings(generation)
        if 'phrases' in prompts and 'phrases' not in self.model:
            raise ValueError(
                f"task '{task}' with phrases needs 'refseg', which this model does not have; "
                'give boxes or masks instead'
            )
        return self._marked(requests), report

    def _marked(self, requests: list[TextPrompts]) -> list[TextPrompts]:
        """Requests with those of their prompts marked that are far from what the model was trained with."""
        if self.word_check is None:
            return requests
        marked = [replace(request, far=self.word_check.of_prompts(request)) for request in requests]
        words = dict.fromkeys(word for request in marked for words in request.far.values() for word in words)
        if words:
            hint = f'. {self.facts["elsewhere"]}' if self.facts.get('elsewhere') else ''
            _LOGGER.warning(
                f'asked for {listed(words, 5)}, far from what this model was trained with, so that means little '
                f'(docs/known_words.md){hint}'
            )
        return marked

    def _writer(self, out_dir: str | Path, names: list[str], report: Mapping[str, Any]) -> ResultWriter | None:
        wanted = out_dir is not None and str(out_dir) and not report.get('no_save_pred')
        return ResultWriter(out_dir, names) if wanted else None

    def _predict(
        self,
        index: int,
        image: EncodedImage,
        task: str,
        request: TextPrompts,
        report: Mapping[str, Any],
        writer: ResultWriter | None,
    ) -> dict[str, Any]:
        height, width = image.size
        if request.regions is not None:
            regions: Any = request.regions
            request = replace(request, regions=regions.arrays(height, width, image.source.name))
        prediction = dict(index=index, image=image.source.name, task=task, height=height, width=width)
        if request.vocabulary is not None:
            prediction['classes'] = list(request.vocabulary.names)
        selection = {name: report[name] for name in _SELECTION if name in report}
        found, maps = self._tasks(task, image, request, selection)
        embedding = found.pop('embedding', None)
        prediction.update(found)
        if request.far:
            prediction['unknown_prompts'] = [
                dict(prompt=prompt, words=list(words)) for prompt, words in request.far.items()
            ]
        prediction['provenance'] = dict(
            xdet=__version__,
            model=self.facts['model'],
            weights=self.facts['weights'],
            weights_sha256=self.facts['weights_sha256'],
            **({} if self.facts['note'] is None else dict(note=self.facts['note'])),
            task=task,
            settings=dict(pred_score_thr=report['pred_score_thr'], **selection),
            prompts=asked(request),
        )
        if report.get('return_embeddings') and embedding is not None:
            prediction['embedding'] = embedding
        if writer is not None:
            writer.write(index, prediction, maps, None)
        return prediction

    def _result(
        self, task: str, predictions: list[dict], failed: list[dict], writer: ResultWriter | None
    ) -> dict[str, list]:
        result: dict[str, list] = dict(predictions=predictions, visualization=[], failed=failed)
        if self._forms[task].ranks:
            result['rankings'] = results.rankings(predictions)
            if writer is not None and result['rankings']:
                writer.write_rankings(result['rankings'], [])
        return result
