"""Films through the model of the generated world."""

from __future__ import annotations

import json

import numpy as np
import pytest

from xdet.apis import FilmError, XDecoderInferencer
from xdet.cli.commands.video import main
from xdet.evaluation.film_quality import FilmQuality
from xdet.scenes.description import VOCABULARY
from xdet.scenes.films import sample_film
from xdet.video.reading import open_film
from xdet.video.writing import writing_film


@pytest.fixture(scope='module')
def model():
    return XDecoderInferencer('scenes', device='cpu')


@pytest.fixture(scope='module')
def drawn():
    return list(sample_film('val', 0, 2, num_frames=8).render(128))


@pytest.fixture(scope='module')
def found(model, drawn):
    return list(model.video(frame.image for frame in drawn))


def test_identities_of_the_generated_world(drawn, found):
    quality = FilmQuality(VOCABULARY, windows=(1, 4))
    for truth, result in zip(drawn, found, strict=True):
        tracks = np.zeros(result.size, np.int64)
        for mask, track in zip(result.masks, result.tracks, strict=True):
            tracks[mask] = track
        segments = [dict(id=row['track'], label=row['label']) for row in result.prediction['segments']]
        quality.add(truth.segment_map, truth.segments_info, tracks, segments)
    quality.end_film()
    result = quality.result()
    assert result['kept'] >= 95 and result['PQ'] > 70 and result['VPQ'] > result['PQ'] - 5


def test_frames_are_results_of_images(model, drawn, found):
    alone = model(drawn[5].image, task='panoptic')['predictions'][0]
    frame = found[5]
    assert frame.frame == 5 and frame.time == 0.2 and len(frame.tracks) == len(alone['segments'])
    for row, expected in zip(frame.prediction['segments'], alone['segments'], strict=True):
        assert row['segmentation'] == expected['segmentation'] and row['score'] == expected['score']
        assert row.get('seen_as', row['name']) == expected['name']
    assert frame.plot().shape == (512, 512, 3) and json.loads(frame.to_json())['frame'] == 5


@pytest.mark.parametrize('task, options', [('instance', {}), ('refseg', dict(phrases='the red cross . the sky'))])
def test_other_tasks(model, drawn, task, options):
    frames = [drawn[0].image, drawn[0].image, drawn[1].image]
    first, same, moved = model.video(frames, task, **options)
    assert len(first) and (first.tracks == same.tracks).all() and set(moved.tracks) & set(first.tracks)
    if task == 'refseg':
        assert first.names == ['the red cross', 'the sky'] and len(first.tracks) == 2
    else:
        assert (first.scores >= 0.3).all() and len(set(first.tracks.tolist())) == len(first)


def test_equal_frames_are_encoded_once(model, drawn, monkeypatch):
    calls = []
    encode = model.encode_image
    monkeypatch.setattr(model, 'encode_image', lambda *args: calls.append(1) or encode(*args))
    frames = [drawn[0].image, drawn[0].image.copy(), drawn[1].image, drawn[1].image, drawn[0].image]
    results = list(model.video(frames, every=2))
    assert [result.frame for result in results] == [0, 2, 4] and len(calls) == 3
    assert len(list(model.video(frames[:2]))) == 2 and len(calls) == 4


def test_requests_are_checked_before_frames_are_read(model):
    def frames():
        raise AssertionError('was read')
        yield

    for options, message in (
        (dict(task='caption'), 'films take panoptic, instance, refseg'),
        (dict(task='refseg'), 'phrases'),
        (dict(every=0), 'every is 0'),
        (dict(memory=-1), 'memory is -1'),
        (dict(fps=0), 'fps is 0'),
        (dict(phrases='a'), 'phrases'),
    ):
        with pytest.raises(ValueError, match=message):
            model.video(frames(), **options)
    with pytest.raises(FilmError, match='does not exist'):
        model.video('no.mp4')


def test_command(drawn, tmp_path, capsys, monkeypatch, model):
    monkeypatch.setattr('xdet.apis.XDecoderInferencer', lambda *args, **options: model)
    film = tmp_path / 'in.avi'
    with writing_film(film, 10, lines=False) as writer:
        for frame in drawn[:3]:
            writer.add({}, frame.image[..., ::-1])
    out = tmp_path / 'out' / 'film.mp4'
    assert main([str(film), str(out), '--model', 'scenes']) == 0
    lines = [json.loads(line) for line in out.with_suffix('.jsonl').read_text().splitlines()]
    assert [line['frame'] for line in lines] == [0, 1, 2] and 'classes' in lines[0] and 'classes' not in lines[1]
    assert all(row['track'] for line in lines for row in line['segments'])
    copy = open_film(str(out), None, None, ())
    assert [frame.shape for frame in copy] == [(512, 512, 3)] * 3 and copy.fps == 10
    assert '3 frames' in capsys.readouterr().out

    film.write_bytes(film.read_bytes()[:-6000])
    assert main([str(film), str(tmp_path / 'cut'), '--model', 'scenes', '--no-save-vis']) == 1
    captured = capsys.readouterr()
    assert 'damaged or was cut off' in captured.err and (tmp_path / 'cut' / 'frames.jsonl').is_file()

    for arguments, message in (
        (['no.mp4', 'o.mp4'], 'no.mp4: does not exist'),
        ([str(film), 'o.gif'], "'.gif' is no format of films"),
        ([str(film), str(film)], 'OUT is IN'),
        ([str(film), 'o.mp4', '--no-save-vis', '--no-save-pred'], 'leave nothing to write'),
        ([str(film), 'o.mp4', '--fps', '0'], 'fps is 0'),
        ([str(film), 'o.mp4', '--frames', '0'], 'frames is 0'),
        ([str(film), 'o.mp4', '--task', 'vqa'], "task is 'vqa'"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err.strip()
        assert message in error and '\n' not in error


def test_views_of_frames_are_those_of_images(model, drawn):
    image = drawn[0].image
    (frame,) = model.video([image], views='1, flip')
    alone, plain = (model(image, task='panoptic', views=views)['predictions'][0] for views in ('1, flip', None))
    scores, expected, without = ([row['score'] for row in one['segments']] for one in (frame.prediction, alone, plain))
    assert scores == expected and scores != without
