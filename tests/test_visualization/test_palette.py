import subprocess
import sys

import numpy as np
import pytest

from xdet.visualization.palette import class_colors, readable_on, shade


def test_colour_follows_from_the_name_alone():
    alone = class_colors(['dog'])[0]
    assert (class_colors(['dog', 'cat', 'road'])[0] == alone).all()
    assert (class_colors(['road', 'cat', 'dog'])[2] == alone).all()


def test_colours_are_equal_in_every_process():
    code = "from xdet.visualization.palette import class_colors; print(class_colors(['dog', 'sky']).tolist())"
    result = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == str(class_colors(['dog', 'sky']).tolist())


@pytest.mark.parametrize('count', [20, 133])
def test_colours_of_a_vocabulary_differ(count):
    colors = class_colors([f'class {index}' for index in range(count)])
    assert len(np.unique(colors, axis=0)) == count


def test_more_classes_than_a_byte_can_count():
    colors = class_colors([f'thing number {index}' for index in range(1203)])
    assert colors.shape == (1203, 3)
    assert len(np.unique(colors, axis=0)) > 1150


def test_caller_cannot_damage_the_cache():
    class_colors(['dog'])[:] = 0
    assert class_colors(['dog']).any()


def test_instances_of_a_class_are_told_apart():
    color = class_colors(['person'])[0]
    shades = np.stack([shade(color, index) for index in range(8)])
    assert (shades[0] == color).all()
    assert len(np.unique(shades, axis=0)) == 8


def test_text_stands_out():
    assert readable_on(np.array([255, 255, 0])) == (0, 0, 0)
    assert readable_on(np.array([0, 0, 128])) == (255, 255, 255)


def test_names_that_speak_of_a_colour_get_it():
    red, green, blue = class_colors(['red circle', 'green ball', 'Blue car']).astype(int)
    assert red[0] > 1.5 * red[1:].max()
    assert green[1] > 1.2 * max(green[0], green[2])
    assert blue[2] > 1.2 * blue[:2].max()
    several = class_colors(['red circle', 'red square', 'red star'])
    assert len(np.unique(several, axis=0)) == 3
