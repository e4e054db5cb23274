"""Vocabularies reduced to what an image shows, as some published numbers of open-vocabulary segmentation use them."""

from __future__ import annotations

from mmcv.transforms import BaseTransform

from xdet.registry import TRANSFORMS
from xdet.structures import Vocabulary


@TRANSFORMS.register_module()
class OracleVocabulary(BaseTransform):
    """Leave in the vocabulary of a sample only the classes of its ground truth.

    This is the "oracle prompt" protocol: it measures masks and the choice among the classes of the image, and says
    nothing about classes that are not there. ``segments_info`` keeps the labels of the whole vocabulary, so predictions
    are mapped back before they are compared, which :class:`xdet.evaluation.OracleSemanticIoU` does. An image without
    any labelled pixel keeps the whole vocabulary: there is nothing to choose from, and nothing that counts.

    Required keys: ``vocabulary``, ``segments_info``. Changed keys: ``vocabulary``. Added keys: ``vocabulary_labels``
    tuple[int], what each name of the new vocabulary is in the whole one (to be named in ``meta_keys`` of
    ``PackXDetInputs``).

    Raises:
        ValueError: The sample has no ground truth.
    """

    def transform(self, results: dict) -> dict:
        """Reduce the vocabulary."""
        if 'segments_info' not in results:
            raise ValueError(
                f'{results.get("img_path")}: no ground truth to take classes from; put LoadSegments before'
            )
        whole = results['vocabulary']
        labels = tuple(sorted({segment['label'] for segment in results['segments_info']})) or tuple(range(len(whole)))
        columns = (whole.names, whole.is_thing, whole.prompts)
        results['vocabulary'] = Vocabulary(
            *(tuple(column[label] for label in labels) if column else () for column in columns)
        )
        results['vocabulary_labels'] = labels
        return results
