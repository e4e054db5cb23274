import numpy as np
import pytest

from xdet.inference.inputs.options import split_options


def test_split():
    prompts, generation, report = split_options(dict(phrases='a dog', boxes=None, num_beams=3, seed=0, return_vis=True))
    assert (prompts, generation, report) == (dict(phrases='a dog'), dict(num_beams=3, seed=0), dict(return_vis=True))


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(phrase='a dog'), 'unknown argument phrase; did you mean phrases'),
        (dict(zzz=1), 'unknown argument zzz; accepted are things'),
    ],
)
def test_typos(options, message):
    with pytest.raises(TypeError, match=message):
        split_options(options)


def test_impossible_threshold():
    with pytest.raises(ValueError, match='pred_score_thr is 2; accepted are numbers from 0 to 1'):
        split_options(dict(pred_score_thr=2))


@pytest.mark.parametrize('value', ['x', 5, [], np.array([True])])
def test_switches_are_on_or_off(value):
    with pytest.raises(ValueError, match='^return_vis is .*; accepted are True and False$'):
        split_options(dict(return_vis=value))
    assert split_options(dict(return_vis=np.bool_(True), no_save_vis=0))[2] == dict(return_vis=True, no_save_vis=False)
