"""The graphs that a model is exported as: modules of tensors only, with every size left open.

What is asked is an input of a graph, never a part of it: class names come as text embeddings ``[K, C]``, phrases as
tokens, thresholds as numbers. One image at a time; sizes are multiples of 32. Where an image is resized, the graph
takes a matrix per axis (:func:`xdet.runtime.resizing.resizing_matrix`), as no exporter writes the anti-aliased kernel
right. ``docs/export.md`` lists the inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from xdet.models import XDecoder
from xdet.tasks import (
    CaptioningTask,
    ClassificationTask,
    InteractiveTask,
    ReferringTask,
    RetrievalTask,
    SegmentationTask,
    VQATask,
)

from .comparing import Classification, Retrieval
from .encoding import Decoder, ImageEncoder, ImageKeys, TextEncoder, pixel_names
from .examples import Examples, Graph
from .segmenting import Instance, Names, Panoptic, Phrases, Semantic
from .writing import Answers, CaptionStep

_TASKS = (CaptioningTask, ClassificationTask, ReferringTask, RetrievalTask, SegmentationTask, VQATask)


def graphs(model: XDecoder, wanted: Collection[str] | None = None) -> Iterator[Graph]:
    """Graphs of a model, those of its tasks last.

    Args:
        model (XDecoder): The model.
        wanted (Collection[str], optional): Names of the tasks that the graphs are for; None means all.

    Raises:
        ValueError: One of these tasks, or a part of the model, has no graph.
    """
    if wanted is None:
        wanted = {name for task in model.tasks.values() for name in task.names}
    # Left out: what every shipped model has, and what nobody can ask for because it only trains.
    tasks = tuple(
        task for task in model.tasks.values() if set(task.names) & set(wanted) and not isinstance(task, InteractiveTask)
    )
    for task in tasks:
        if not isinstance(task, _TASKS):
            raise ValueError(f'task {type(task).__name__} has no graph; the tasks of xdet have, but for PoseTask')
        if getattr(task, 'clip_ensemble', None) is not None:
            raise ValueError('a model with a clip_ensemble has no graphs: set clip_ensemble=None')
    examples = Examples(model)
    graph, keys = examples.graph, examples.image_keys
    features = ('mask_features', 'memory_32', 'memory_16', 'memory_8')
    names = pixel_names(model)
    maps = tuple(f'pixels_{name}' for name in names.heard) if names is not None else ()
    pixels = ('pixel_embed',) if names is not None else ()
    yield graph('image_encoder', ImageEncoder(model), ('image',), (*features, 'image_mean', *maps))
    yield graph('text_encoder', TextEncoder(model), ('ids',), ('tokens', 'pooled'))
    made = ('class_embed', 'mask_embed', 'latent_keys', *pixels)
    yield graph('decoder', Decoder(model), (*features, *maps), made)
    if any(isinstance(task, (CaptioningTask, VQATask)) for task in tasks):
        yield graph('image_keys', ImageKeys(model), features, keys)
    masks, sized, compared = (
        ('probabilities', 'mask_embed', 'mask_features'),
        ('rows', 'columns'),
        ('class_embed', 'text'),
    )
    for task in tasks:
        if isinstance(task, SegmentationTask):
            yield graph('names', Names(model), (*compared, *pixels), ('probabilities',))
            found: tuple[str, ...] = ('labels', 'scores')
            surest = () if task.background_score is None else ('surest',)
            if 'semantic' in wanted:
                yield graph('semantic', Semantic(task), (*masks, *sized), (*found, *surest))
            inputs: tuple[str, ...] = (*masks, 'is_thing', 'reported', 'mask_logit', *sized)
            if 'instance' in wanted:
                yield graph('instance', Instance(task), inputs, (*found, 'queries', 'masks'))
            inputs = (*masks, 'is_thing', 'reported', 'least', 'overlap', 'mask', *sized)
            if 'panoptic' in wanted:
                yield graph('panoptic', Panoptic(), inputs, ('segments', *found))
        elif isinstance(task, ReferringTask):
            inputs = (*features, 'phrase_tokens', 'valid', 'phrase_features', 'mask_logit', *sized)
            yield graph('phrases', Phrases(model), inputs, ('masks', 'scores', 'similarities'))
        elif isinstance(task, CaptioningTask):
            inputs = ('next_ids', 'text_past', 'past', 'latent_keys', *examples.visible, *keys)
            yield graph('caption_step', CaptionStep(model, task), inputs, ('logits', 'text_present', 'present'))
        elif isinstance(task, VQATask):
            inputs = ('question_tokens', 'ends', 'latent_keys', *keys)
            yield graph('answers', Answers(model, task), inputs, ('probabilities',))
        elif isinstance(task, RetrievalTask):
            inputs = ('class_embed', 'image_mean', 'pooled')
            yield graph('retrieval', Retrieval(task), inputs, ('embedding', 'texts', 'scores'))
        else:
            yield graph('classification', Classification(model), compared, ('probabilities',))
