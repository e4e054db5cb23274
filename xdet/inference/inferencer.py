"""From images and words to segments and texts, in one object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xdet.inference.inputs.images import ImageInput, ImageSource, expand_images, expand_one_by_one, has_to_be_iterated
from xdet.inference.inputs.options import split_options
from xdet.inference.outputs.journal import Journal, plain
from xdet.inference.outputs.reporting import Report, StreamItem
from xdet.inference.outputs.writer import OutputError
from xdet.io.schema import number
from xdet.structures.views import views_of

from .films import FilmMethods
from .loaded import EncodedImage
from .methods import TaskMethods
from .names.examples import Example, learn_example
from .names.tuning import Tuned, tune
from .running import Run
from .saving import SavedModels

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from xdet.datasets.exchange import AnnotatedSet
    from xdet.options import Options

    from .methods import Images

_DECIDING = ('xdet', 'model', 'weights_sha256', 'precision')  # of what results say about their origin


class XDecoderInferencer(TaskMethods, FilmMethods, SavedModels):
    """Segments and describes images: every task of a model, with any words.

    Modelled on mmdet's ``DetInferencer`` (same arguments and return keys), but not derived from MMEngine's
    ``BaseInferencer``: that one stops at the first unreadable image and keeps every image, sample and overlay of a
    run in memory until its end. This one finishes image by image.

    Args:
        model (str | Path | Config, optional): Name of a shipped config (``xdecoder_focal-t``,
            ``xdet::xdecoder/xdecoder_focal-t``), path of a config file, or a config. ``'photos'`` and ``'scenes'`` are
            the small models that come with the package (:data:`xdet.model_zoo.EMBEDDED`); None is the default of them.
            A folder of :meth:`save_pretrained` brings its weights.
            Config files are Python code; use trusted ones.
        weights (str | Path, optional): Checkpoint file or URL, official or ours. None is accepted for the models that
            come with the package, and with ``random_weights``.
        device (str | torch.device): ``'auto'`` takes CUDA, else MPS, else the CPU.
        random_weights (bool): Build the model untrained.
        text_embeddings (str | Path, optional): File of class names embedded before with these weights
            (``tools/misc/embed_vocabulary.py``); only other names are embedded then.
        calibration (str | Path, optional): File of ``xdet calibrate``; None is the one beside the weights, if there is
            one.
        precision (str, optional): ``'bfloat16'`` computes in half precision: several times as fast on hardware that has
            instructions for it, with a few other pixels. ``'single'`` is exact; None is what the config says, which is
            that.

    Raises:
        FileNotFoundError: Unknown model.
        ValueError: Contradicting or missing arguments, missing or unusable weights, or embeddings of other weights.

    Examples:
        >>> inferencer = XDecoderInferencer('xdecoder_focal-t', 'xdecoder_focalt_last.pt')
        >>> result = inferencer('street.jpg', task='panoptic', things='car . person', stuff='road . sky')
        >>> [segment['name'] for segment in result['predictions'][0]['segments']]
        >>> inferencer('street.jpg', task='refseg', phrases='the red car . a person')
        >>> inferencer('street.jpg', task='caption', num_beams=5)
    """

    _current: EncodedImage | None = None

    def __call__(
        self,
        images: ImageInput | Sequence[ImageInput],
        task: str = 'panoptic',
        batch_size: int = 1,
        out_dir: str | Path = '',
        show_progress: bool = True,
        **options: Unpack[Options],
    ) -> dict[str, list]:
        """Run one task on one or many images.

        Args:
            images (ImageInput | Sequence[ImageInput]): Path, folder (with the folders in it), pattern
                ``'photos/*.jpg'``, URL, BGR uint8 array ``[H, W, 3]`` (or grey), Pillow image, or a list of these.
            task (str): One of :attr:`task_names`.
            batch_size (int): Images per forward pass; results do not depend on it.
            out_dir (str | Path): Folder for ``preds/`` and ``vis/``; empty writes nothing.
            show_progress (bool): Show a progress bar for more than one image.
            **options: Prompts (:class:`~xdet.options.Prompts`; which ones depends on the task), settings of captions
                (:class:`~xdet.options.Generation`), and :class:`~xdet.options.ReportOptions`.

        Returns:
            dict[str, list]: ``predictions``: one JSON-ready dict per image (or sample, with ``return_datasamples``);
            ``visualization``: RGB overlays when ``return_vis``; ``failed``: dicts of ``index``, ``image`` and
            ``error`` for images of a collection that gave no result; ``rankings``, for retrieval: for every text all
            images, best first.

        Raises:
            ImageReadError: The only image cannot be read. In a collection it is listed in ``failed`` instead.
            OutputError: Results cannot be written.
            RegionError: Boxes or masks do not fit the only image. In a collection it is listed likewise.
            TypeError: Unknown options.
            ValueError: Unknown task, unusable prompts or options.
        """
        run = self._plan(images, task, batch_size, out_dir, show_progress, options)
        return run.report.result(list(run.stream()))

    def stream(
        self,
        images: ImageInput | Iterable[ImageInput],
        task: str = 'panoptic',
        batch_size: int = 1,
        out_dir: str | Path = '',
        show_progress: bool = False,
        resume: bool = False,
        **options: Unpack[Options],
    ) -> Iterator[StreamItem]:
        """Results one by one, in the order of the images; memory does not grow with their number.

        While the model works, a thread reads the next images and another draws and writes the last results. Everything
        but the images is checked at once. Stopping early is fine: what was computed is still written.

        Args:
            images (ImageInput | Iterable[ImageInput]): As in :meth:`__call__`, or any iterable of images, also an
                endless one; prompts are then the same for all images.
            task (str): One of :attr:`task_names`.
            batch_size (int): Images per forward pass.
            out_dir (str | Path): Folder for results. With several images it also gets ``run.jsonl``, which says how far
                the run is.
            show_progress (bool): Show a progress bar for more than one image.
            resume (bool): Go on with the run that was interrupted in ``out_dir``, however it ended: images whose files
                are complete are not computed again, and their results are read. Without such a run, begin.
            **options: As in :meth:`__call__`.

        Yields:
            StreamItem: Of every image, also of one that gave no result; its ``error`` then says why. Failures are
            logged at the end, and tasks that rank write their rankings then.

        Raises:
            ResumeError: The run in ``out_dir`` was another one.
            As :meth:`__call__`.
        """
        return self._plan(images, task, batch_size, out_dir, show_progress, options, resume=resume).stream()

    def results(self, images: Images, task: str, batch_size: int = 1, **options: Any) -> Any:
        """One typed result, or, for several images, a list of them; which type depends on the task.

        Args:
            images (ImageInput | EncodedImage | Sequence[ImageInput]): As in :meth:`__call__`, or what :meth:`set_image`
                returned.
            task (str): One of :attr:`task_names`.
            batch_size (int): Images per forward pass.
            **options: As in :meth:`__call__`.

        Returns:
            Result | Results: See :mod:`xdet.inference.outputs.typed`.

        Raises:
            As :meth:`__call__`.
        """
        if isinstance(images, EncodedImage):
            return self._run_encoded(images, task, '', options, keep=True)[1].typed
        run = self._plan(images, task, batch_size, '', False, options)
        run.report.keep = True
        typed = run.report.typed(list(run.stream()))
        return typed if run.is_collection else typed[0]

    def _plan(
        self,
        images: ImageInput | Iterable[ImageInput],
        task: str,
        batch_size: int,
        out_dir: str | Path,
        show_progress: bool,
        options: Mapping[str, Any],
        resume: bool = False,
    ) -> Run:
        """Check everything but the images."""
        batch_size = number('batch_size', batch_size, int, 1)
        sources: Iterable[ImageSource]
        if has_to_be_iterated(images):
            sources, total, is_collection = expand_one_by_one(images, out_dir or None), None, True
        else:
            sources, is_collection = expand_images(images, leave_out=out_dir or None)
            total = len(sources)
        requests, report = self._prepare(task, total, out_dir, options)
        if is_collection or resume:
            self._keep_journal(report, task, out_dir, options, resume)
        own = self.model, self._pipeline(task), self.device
        return Run(*own, sources, requests, report, batch_size, total, is_collection, show_progress)

    def _keep_journal(
        self, report: Report, task: str, out_dir: str | Path, options: Mapping[str, Any], resume: bool
    ) -> None:
        """Let a run note which images are finished, where it can be continued later."""
        why = None
        if report.writer is None or not report.save_pred:
            why = 'it writes no results; give out_dir (--out-dir), and no no_save_pred'
        elif self.origin.weights is None:
            why = 'random weights are others every time'
        elif report.return_vis or report.return_datasamples:
            why = 'files hold no overlays and samples to return; leave out return_vis and return_datasamples'
        if why is not None or report.writer is None:
            if resume:
                raise ValueError(f'a run cannot be continued with these options: {why}')
            return
        facts = {key: value for key, value in self.origin.describe().items() if key in _DECIDING}
        prompts, generation, settings = split_options(options)
        told = {key: value for key, value in settings.items() if key not in ('print_result', 'formats')}
        asked = prompts | generation | told
        learned = self.calibration.presence(task) if self.calibration is not None else None
        if prompts.get('uncertainty') and self.calibration is not None:
            facts['temperatures'] = self.calibration.temperatures
        run = facts | dict(task=task, calibration=learned) | {f'option {key}': plain(asked[key]) for key in asked}
        try:
            report.writer.journal = Journal(report.writer.out_dir, run, resume)
        except BlockingIOError as error:
            if resume:
                raise OutputError(f"another process is writing into '{report.writer.out_dir}'") from error
        except OSError as error:
            raise OutputError(f"output folder '{report.writer.out_dir}' cannot be written: {error}") from error

    def set_image(self, image: ImageInput, task: str | None = None, views: Any = None) -> EncodedImage:
        """Encode one image, so that many prompts and tasks on it are cheap.

        Args:
            image (ImageInput): Path, URL, array or Pillow image.
            task (str, optional): Resize the image as this task would; None is the model's default size.
            views (str | Sequence, optional): As in a call; they hold for all that is asked of the image.

        Returns:
            EncodedImage: To keep for :meth:`predict` when several images are in use; the latest is remembered. It
            belongs to the weights that the model has now.

        Raises:
            ImageReadError: The image cannot be read.
            ValueError: More than one image, an unknown task, or impossible views.
        """
        sources, _ = expand_images(image)
        if len(sources) != 1:
            raise ValueError(f'set_image takes one image, not {len(sources)}')
        if task is not None:
            self._check_task(task)
        self._current = self.encode_image(sources[0], task, None if views is None else views_of(views))
        return self._current

    def predict(
        self,
        task: str = 'panoptic',
        image: EncodedImage | None = None,
        out_dir: str | Path = '',
        **options: Unpack[Options],
    ) -> dict[str, list]:
        """Run one task on an encoded image; result as in :meth:`__call__`.

        Args:
            task (str): One of :attr:`task_names`.
            image (EncodedImage, optional): None is the image of the latest :meth:`set_image`.
            out_dir (str | Path): Folder for results.
            **options: See :meth:`__call__`.

        Raises:
            RegionError: Boxes or masks do not fit the image.
            ValueError: No image was set, or as in :meth:`__call__`.
        """
        image = self._current if image is None else image
        if image is None:
            raise ValueError('no image is set; call set_image(image) first')
        if not isinstance(image, EncodedImage):
            raise ValueError(f'image is a {type(image).__name__}; accepted is what set_image returned')
        report, item = self._run_encoded(image, task, out_dir, options)
        return report.result([item])

    def _run_encoded(
        self, image: EncodedImage, task: str, out_dir: str | Path, options: Mapping[str, Any], keep: bool = False
    ) -> tuple[Report, StreamItem]:
        """Run a task on an encoded image."""
        requests, report = self._prepare(task, 1, out_dir, options)
        if report.tiles is not None:
            raise ValueError('tiles is for images that are not encoded yet; give the image itself')
        if requests[0].views is not None:
            raise ValueError('views is for images that are not encoded yet; give it to set_image')
        report.keep = keep
        if report.writer is not None:
            report.writer.name(image.source.name)
        sample = image.sample.clone()
        requests[0].apply(sample, image.source.name)
        sample = sample.to(self.device)
        self.model.predict_features(image.features, [sample], image.latent_pass)
        item = report.add(0, image.source, image.image, sample.cpu())
        report.finish()
        return report, item

    def learn_example(
        self,
        name: str,
        images: Images,
        boxes: Any = None,
        masks: Any = None,
        points: Any = None,
        not_images: Images | None = None,
        not_boxes: Any = None,
        not_masks: Any = None,
        name_share: float = 0.0,
    ) -> Example:
        """Learn a class name from one or several regions: "more of these".

        From now on the name means what the regions show wherever class names are taken, whatever its text would mean.

        Args:
            name (str): The name.
            images (ImageInput | EncodedImage | Sequence): One image, or several.
            boxes, masks, points (Any, optional): Where the objects are, as :meth:`click` takes it: for several images a
                list with one entry per image. At least one of them.
            not_images (ImageInput | EncodedImage | Sequence, optional): Where the next two are; None are ``images``.
            not_boxes, not_masks (Any, optional): Objects that look alike and are not meant. They become the name
                ``Example.background``, which competes as ``background`` of a call.
            name_share (float): How much the text of the name counts, from 0 to 1.

        Returns:
            Example: To be saved; a file of examples is given as ``text_embeddings``.

        Raises:
            ExampleError: The model sees no object in a region, or an image cannot be read.
            RegionError: A region does not fit its image.
            ValueError: The name is unusable, or nothing is shown.
        """
        shown = dict(boxes=boxes, masks=masks, points=points)
        not_shown = dict(boxes=not_boxes, masks=not_masks)
        is_not = any(value is not None for value in not_shown.values())
        return learn_example(self, name, images, shown, not_images, not_shown if is_not else None, name_share)

    def tune(
        self,
        data: AnnotatedSet | str | Path,
        names: Mapping[str, str] | Sequence[str] | str,
        images: str | Path | None = None,
        limit: int | None = None,
        tokens: int = 4,
        steps: int = 100,
        learn: str = 'tokens',
    ) -> Tuned:
        """Learn a few tokens before class names, or weights of their templates, with everything else as it is.

        From now on these names mean what was learned, wherever class names are taken. No weight of the model changes,
        so every other name means what it meant before, bit by bit.

        Args:
            data (AnnotatedSet | str | Path): Annotated images, or a file or folder in a format that ``xdet convert``
                reads (docs/data_formats.md). Every segment of their classes must be annotated.
            names (Mapping[str, str] | Sequence[str] | str): Classes of the data to be tuned, or ``{name: class}`` to
                tune another name for a class, such as ``{'kitten': 'cat'}``.
            images (str | Path, optional): Folder of the images, if it is not where the format has it.
            limit (int, optional): At most so many of the images that show these classes, the first ones.
            tokens (int): Learned tokens of every name.
            steps (int): Steps of the optimizer.
            learn (str): ``'tokens'``; or ``'templates'``, which learns how much each of the 81 templates that a name is
                put into counts.

        Returns:
            Tuned: To be saved; the file is given as ``text_embeddings``.

        Raises:
            FileNotFoundError, ImageReadError: Something is missing or cannot be read.
            TuningError, ValueError: The data do not have a class, or the model sees none of its segments.
        """
        return tune(self, data, names, images, limit, tokens, steps, learn)
