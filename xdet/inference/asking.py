"""What is asked of a model and how it is to be reported, checked before anything is computed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdet import model_zoo
from xdet.inference.inputs.images import ImageInput, expand_images
from xdet.inference.inputs.options import known_prompts, split_options
from xdet.inference.inputs.requests import make_requests
from xdet.inference.outputs.reporting import Report, annotation_writer
from xdet.inference.outputs.results import TASK_FORMATS
from xdet.inference.outputs.selection import Selection
from xdet.inference.outputs.writer import ResultWriter
from xdet.io.reading import listed
from xdet.io.schema import shown
from xdet.io.warnings import warn_once
from xdet.options import refuse_untaken
from xdet.structures import TextPrompts, Vocabulary
from xdet.structures.mentions import PRESENCE
from xdet.structures.views import views_of

from .loaded import LoadedModel
from .tiling.cutting import check_tiles

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from xdet.options import Options

_LOGGER = logging.getLogger(__name__)


class AskedModel(LoadedModel):
    """A model that checks what it is asked, with its own tasks, class names, calibration and training vocabulary."""

    def check(self, task: str, **options: Unpack[Options]) -> TextPrompts:
        """What a call with these options asks of one image; nothing is computed.

        Raises:
            TypeError, ValueError: As in a call.
        """
        requests, report = self._asked(task, 1, options)
        self._report(task, '', **report)
        return requests[0]

    def _prepare(
        self, task: str, count: int | None, out_dir: str | Path, options: Mapping[str, Any]
    ) -> tuple[list[TextPrompts], Report]:
        """Check everything a user gave before any work is done; requests of all images (see :func:`_requests`), and the
        report to fill.
        """
        requests, report = self._asked(task, count, options)
        return self._marked(requests), self._report(task, out_dir, **report)

    def _asked(
        self, task: str, count: int | None, options: Mapping[str, Any]
    ) -> tuple[list[TextPrompts], dict[str, Any]]:
        """What is asked of every image, and the options of the report."""
        prompts, generation, report = split_options(options)
        self._check_task(task)
        refuse_untaken(task, report)
        learned = self.calibration.presence(task) if self.calibration is not None else None
        if learned is not None and 'presence' in TASK_FORMATS[task].prompts:
            prompts.setdefault('presence', learned)
        if 'score' in prompts:  # what is reported is also drawn and printed
            report.setdefault('pred_score_thr', 0.0)
        if generation:
            self._check_generation(task, generation)
        prompts_needed = not (report.get('return_embeddings') or report.get('return_datasamples'))
        requests = _requests(task, prompts, generation, count, self.default_vocabulary, prompts_needed)
        if self.embedded is not None and TASK_FORMATS[task].mentions and PRESENCE in self.model.task_names:
            names = self.default_vocabulary
            requests = [replace(asked, tasks=(PRESENCE, *(asked.tasks or ())), vocabulary=names) for asked in requests]
        if prompts.get('uncertainty') and self.calibration is not None:
            learned_for = self.calibration.temperature
            requests = [replace(asked, class_temperature=learned_for(asked.vocabulary)) for asked in requests]
        views = report.pop('views', None)
        if views is not None:
            views = views_of(views)
            requests = [replace(asked, views=views) for asked in requests]
        for name in requests[0].tasks or ():
            if name not in self.model.task_names:
                raise ValueError(
                    f"task '{task}' with phrases needs '{name}', which this model does not have; "
                    'give boxes or masks instead'
                )
        return requests, report

    def _marked(self, requests: list[TextPrompts]) -> list[TextPrompts]:
        """Requests with those of their prompts marked that are far from what the model was trained with."""
        if self.word_check is None:
            return requests
        marked = [replace(request, far=self.word_check.of_prompts(request)) for request in requests]
        self._warn(dict.fromkeys(word for request in marked for words in request.far.values() for word in words))
        return marked

    def warn_of_far(self, texts: Sequence[str]) -> None:
        """Say which words of texts about whole images are far from what the model was trained with."""
        if self.word_check is not None:
            self._warn(
                dict.fromkeys(word for words in self.word_check.far_words(texts, 'texts').values() for word in words)
            )

    def _warn(self, words: Collection[str]) -> None:
        if words:
            hint = f'. {self.embedded.elsewhere}' if self.embedded is not None else ''
            _LOGGER.warning(
                f'asked for {listed(words, 5)}, far from what this model was trained with, so that means little '
                f'(docs/known_words.md){hint}'
            )

    def _check_task(self, task: str) -> None:
        if not isinstance(task, str) or task not in self.task_names:
            known = isinstance(task, str) and task in TASK_FORMATS
            kind = 'this model was not configured for task' if known else 'unknown task'
            raise ValueError(f'{kind} {shown(task)}; it has {", ".join(self.task_names)}')

    def _check_generation(self, task: str, generation: Mapping[str, Any]) -> None:
        for adapter in self.model.tasks.values():
            if task in adapter.names and hasattr(adapter, 'generation'):
                settings = adapter.generation.override(generation)
                for needed, missing, names in (
                    ('top_p', settings.top_p is None, ('temperature', 'seed')),
                    ('num_beams', settings.num_beams == 1, ('length_penalty',)),
                ):
                    if missing and (given := [name for name in names if name in generation]):
                        warn_once(f'{listed(given)} means nothing without {needed}')

    def _report(
        self,
        task: str,
        out_dir: str | Path,
        no_save_vis: bool = False,
        no_save_pred: bool = False,
        min_part: float | None = None,
        nms_iou: float | None = None,
        min_area: int | None = None,
        max_per_image: int | None = None,
        formats: Sequence[str] = (),
        tiles: Any = None,
        **report: Any,
    ) -> Report:
        selection = Selection(min_part, nms_iou, min_area, max_per_image)
        checked = check_tiles(tiles, dict(report, min_part=min_part))
        annotations = annotation_writer(formats, task, out_dir, report.get('pred_score_thr', 0.3))
        saves = out_dir is not None and str(out_dir) != '' and not (no_save_vis and no_save_pred)
        return Report(
            task=task,
            visualizer=self.visualizer,
            writer=ResultWriter(out_dir) if saves else None,
            save_vis=not no_save_vis,
            save_pred=not no_save_pred,
            selection=selection,
            origin=self.origin,
            annotations=annotations,
            tiles=checked,
            **report,
        )


def check_request(
    images: ImageInput | Sequence[ImageInput], task: str, out_dir: str | Path = '', **options: Unpack[Options]
) -> None:
    """Check without any model what can be: for programs that would otherwise first build one for seconds.

    Args:
        images (ImageInput | Sequence[ImageInput]): As in :meth:`XDecoderInferencer.__call__`.
        task (str): Likewise.
        out_dir (str | Path): Likewise.
        **options: Likewise.

    Raises:
        ImageReadError: There is no image at all.
        OutputError, TypeError, ValueError: As in :meth:`XDecoderInferencer.__call__`.
    """
    prompts, generation, report = split_options(options)
    if task not in TASK_FORMATS:
        raise ValueError(f'unknown task {shown(task)}; accepted are {", ".join(TASK_FORMATS)}')
    refuse_untaken(task, report)
    annotation_writer(report.get('formats', ()), task, out_dir, 0.0)
    if str(out_dir) and not (report.get('no_save_vis') and report.get('no_save_pred')):
        ResultWriter(out_dir)  # looks at the place, and makes nothing yet
    check_tiles(report.get('tiles'), report)
    if report.get('views') is not None:
        views_of(report['views'])
    sources, _ = expand_images(images, leave_out=out_dir or None)
    for source in sources:
        if source.is_there():
            break
    else:
        sources[0].read()
    prompts_needed = not (report.get('return_embeddings') or report.get('return_datasamples'))
    some_classes = model_zoo.EMBEDDED[model_zoo.DEFAULT_MODEL].vocabulary
    _requests(task, prompts, generation, len(sources), some_classes, prompts_needed)


def _requests(
    task: str,
    prompts: Mapping[str, Any],
    generation: Mapping[str, Any],
    count: int | None,
    default: Vocabulary | None,
    prompts_needed: bool,
) -> list[TextPrompts]:
    """What is asked of each image, or, where that is the same, one request for all; raises as ``make_requests``."""
    known = known_prompts()
    if count is None or all(isinstance(known[name].kind, str) for name in prompts):
        try:
            return make_requests(task, prompts, generation, None, default, prompts_needed)
        except ValueError:
            if count is None:
                raise
    return make_requests(task, prompts, generation, count, default, prompts_needed)
