"""What a call asks is checked without a model."""

import numpy as np
import pytest
from PIL import Image

from xdet.datasets.files.image_io import ImageReadError
from xdet.inference.asking import check_request

TASKS = ('semantic', 'instance', 'panoptic')
THINGS, STUFF = 'dog . cat', 'grass . sky'


def picture(seed=0, size=(40, 60)):
    return np.random.RandomState(seed).randint(0, 255, (*size, 3), np.uint8)


@pytest.mark.parametrize(
    ('images', 'task', 'options', 'message'),
    [
        ('no.jpg', 'panoptic', {}, 'no.jpg'),
        (['no.jpg', 'neither.png'], 'panoptic', {}, 'no.jpg'),
        ('*.nothing', 'panoptic', {}, 'no file fits'),
        (np.zeros((2, 2, 3), np.uint8), 'segment', {}, "unknown task 'segment'; accepted are semantic"),
        (np.zeros((2, 2, 3), np.uint8), 'panoptic', dict(phrases='a dog'), 'does not take phrases'),
        (np.zeros((2, 2, 3), np.uint8), 'refseg', {}, "'refseg' needs phrases"),
    ],
)
def test_requests_are_checked_without_a_model(images, task, options, message):
    with pytest.raises((ImageReadError, ValueError), match=message):
        check_request(images, task, **options)


def test_places_of_results_are_checked_without_a_model(tmp_path):
    (tmp_path / 'file').touch()
    with pytest.raises(OSError, match='output folder .*file. is a file; give a folder'):
        check_request(picture(), 'panoptic', tmp_path / 'file')
    check_request(picture(), 'panoptic', tmp_path / 'file', no_save_vis=True, no_save_pred=True)


def test_good_requests_pass_the_check(tmp_path):
    Image.fromarray(picture()).save(tmp_path / 'a.png')
    check_request(tmp_path, 'panoptic')
    check_request([picture(), 'no.jpg'], 'refcaption', boxes='0 0 5 5', num_beams=2)
