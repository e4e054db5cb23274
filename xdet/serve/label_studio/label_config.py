"""The label config of a project: which controls there are, and what their labels are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from xdet.datasets.exchange.entries import checked_name, parse_xml
from xdet.io.errors import cause
from xdet.io.schema import shown

from ..refusal import Refused

KINDS = ('brushlabels', 'polygonlabels', 'rectanglelabels', 'keypointlabels')
"""Types of results, in the order in which one is chosen for a label that has several."""


@dataclass(frozen=True)
class Control:
    """A tool of the project that draws regions with labels.

    Attributes:
        name (str): In the config.
        kind (str): Type of its results, one of :data:`KINDS`.
        labels (Mapping[str, str]): The text that is shown of a label, and what results say of it; labels may share
            that.
    """

    name: str
    kind: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class LabelConfig:
    """What matters of a label config.

    Attributes:
        image (str): Name of the image in the config.
        field (str): Field of a task that says where its image is.
        controls (tuple[Control, ...]): Those for the image, in the order of :data:`KINDS`.
    """

    image: str
    field: str
    controls: tuple[Control, ...]

    @property
    def names(self) -> dict[str, str]:
        """Class names, which are the texts of the labels, and what results say of each."""
        return {text: label for control in self.controls for text, label in control.labels.items()}

    def control_of(self, label: str, regions: bool = False) -> Control:
        """The control for new results of a label.

        Args:
            label (str): What results say of it.
            regions (bool): Whether a point will not do.

        Raises:
            Refused: No control has the label.
        """
        for control in self.controls:
            if label in control.labels.values() and not (regions and control.kind == 'keypointlabels'):
                return control
        kinds = 'BrushLabels, PolygonLabels or RectangleLabels' if regions else 'control'
        raise Refused(422, f'the label config has no {kinds} with the label {shown(label)}')


def parse_label_config(text: Any) -> LabelConfig:
    """Read the XML of a label config.

    Raises:
        Refused: It is not XML, has a DOCTYPE, or has no image or no labels to draw with.
    """
    if not isinstance(text, str):
        raise Refused(422, f'the label config is {shown(text)}; accepted is the XML of a project')
    try:
        root = parse_xml(text.encode('utf-8', 'replace'), 'the label config')
        images = {
            one.get('name', ''): one.get('value', '')[1:]
            for one in root.iter('Image')
            if one.get('value', '')[:1] == '$' and len(one.get('value', '')) > 1
        }
        if not images:
            raise Refused(422, 'the label config has no <Image> with value="$FIELD"')
        name = next(iter(images))
        controls = []
        for element in root.iter():
            kind = str(element.tag).lower()
            if kind in KINDS and element.get('toName') == name:
                own = checked_name(element.get('name') or '', f'the label config: <{element.tag}>')
                labels = {}
                for label in element.iter('Label'):
                    shown_text = checked_name(label.get('value') or '', f'the label config: a label of {own}')
                    labels[shown_text] = label.get('alias') or shown_text
                if labels:
                    controls.append(Control(own, kind, labels))
    except ValueError as error:
        raise Refused(422, cause(error)) from None
    if not controls:
        raise Refused(
            422,
            f'the label config has no labels to draw with on the image {shown(name)}; accepted are BrushLabels, '
            'PolygonLabels, RectangleLabels and KeyPointLabels',
        )
    return LabelConfig(name, images[name], tuple(sorted(controls, key=lambda control: KINDS.index(control.kind))))
