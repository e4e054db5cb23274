"""One image after the other: order, memory, failures, and runs that are killed."""

import json
import multiprocessing
import os
import signal
import threading
import weakref
from functools import partial
from itertools import count, islice

import cv2
import numpy as np
import pytest
import torch

from xdet.apis import OutputError, ResumeError
from xdet.inference.inputs.images import ImageSource
from xdet.inference.outputs import journal, writer
from xdet.inference.outputs.provenance import Origin
from xdet.inference.streaming import DEPTH, staged
from xdet.io import writing
from xdet.structures import Vocabulary

NAMES = Vocabulary(('dog', 'grass'), (True, False))


def picture(seed=0, size=(40, 60)):
    return np.random.RandomState(seed).randint(0, 255, (*size, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Four good images and, second, a damaged one."""
    path = tmp_path / 'pictures'
    path.mkdir()
    for seed, name in enumerate('acde'):
        cv2.imwrite(str(path / f'{name}.png'), picture(seed, (40 + 7 * seed, 60)))
    (path / 'b.png').write_bytes(b'')
    return path


@pytest.fixture
def stream(inferencer, tmp_path, monkeypatch):
    """Of a model whose weights are those of a file, so that its runs can be continued."""
    (tmp_path / 'weights').write_bytes(b'x')
    monkeypatch.setattr(inferencer, 'origin', Origin('tiny', str(tmp_path / 'weights')))
    return partial(inferencer.stream, vocabulary=NAMES)


def files_of(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob('*')) if file.is_file()}


def results_of(path):
    return {name: content for name, content in files_of(path).items() if name != journal.NAME}


# Three stages


def test_stages_keep_the_order_and_run_side_by_side():
    threads = {}

    def stage(name):
        def run(value):
            threads.setdefault(name, set()).add(threading.get_ident())
            return value + [name]

        return run

    batches = ([number] for number in range(20))
    found = list(staged(batches, stage('read'), stage('compute'), stage('write')))
    assert found == [[number, 'read', 'compute', 'write'] for number in range(20)]
    assert threads['compute'] == {threading.get_ident()} and len(set.union(*threads.values())) == 3


@pytest.mark.parametrize('place', ['read', 'compute', 'write'])
def test_an_error_of_a_stage_comes_at_its_place_and_leaves_no_thread(place):
    def stage(name):
        def run(value):
            if name == place and value == 5:
                raise OSError('broken')
            return value

        return run

    found = []
    with pytest.raises(OSError, match='broken'):
        found.extend(staged(range(20), stage('read'), stage('compute'), stage('write')))
    assert found == list(range(5))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('xdet-')]


def test_whoever_stops_early_gets_written_what_was_computed():
    computed, written, asked = [], [], []
    batches = (asked.append(number) or number for number in count())
    stages = staged(batches, int, lambda value: computed.append(value) or value, written.append)
    list(islice(stages, 3))
    stages.close()
    assert computed == written and len(asked) <= 3 + 2 * DEPTH + 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith('xdet-')]


# Images


def test_a_call_is_a_list_of_the_stream(stream, inferencer, folder, tmp_path):
    items = list(stream(folder, out_dir=tmp_path / 'a'))
    result = inferencer(folder, vocabulary=NAMES, out_dir=tmp_path / 'b', show_progress=False)
    assert [item.index for item in items] == [0, 1, 2, 3, 4]
    assert [os.path.basename(item.image) for item in items] == ['a.png', 'b.png', 'c.png', 'd.png', 'e.png']
    assert [item.prediction for item in items if item.error is None] == result['predictions']
    assert 'empty' in items[1].error and result['failed'][0]['error'] == items[1].error
    assert files_of(tmp_path / 'a') == files_of(tmp_path / 'b') and len(files_of(tmp_path / 'a')) == 3 * 4 + 1


def test_mistakes_are_said_at_once_and_images_are_read_later(stream, folder):
    with pytest.raises(ValueError, match='unknown task'):
        stream(folder, task='seg')
    stream(['missing.png', 'also_missing.png'])


def test_an_iterable_may_be_endless_and_mix_kinds_of_images(stream, folder):
    images = (folder / 'c.png' if number % 2 else picture(number) for number in count())
    items = list(islice(stream(images, batch_size=2), 5))
    assert [item.prediction['height'] for item in items] == [40, 47, 40, 47, 40]
    assert items[2].image == 'image_2'
    with pytest.raises(ValueError, match='classes has 2 entries, one per image, but how many'):
        stream(iter([picture()] * 2), vocabulary=None, classes=[['a'], ['b']])


def test_prompts_per_image_still_work(stream):
    items = list(stream([picture(0), picture(1)], vocabulary=None, classes=[['a'], ['b', 'c']]))
    assert [item.prediction['classes'] for item in items] == [['a'], ['b', 'c']]


def test_memory_does_not_grow_with_the_number_of_images(stream, monkeypatch):
    """Of the images and the results, as many are alive as wait between the stages."""
    alive, most, read = weakref.WeakSet(), [], ImageSource.read

    class Pixels(np.ndarray):
        __hash__ = object.__hash__

    def watched(source):
        image = read(source).view(Pixels)
        alive.add(image)
        return image

    monkeypatch.setattr(ImageSource, 'read', watched)
    for _ in stream((picture(number) for number in range(24)), task='semantic'):
        most.append(len(alive))
    assert len(most) == 24 and max(most[10:]) <= max(most[:10]) <= 2 * DEPTH + 2


# Runs that are killed


def finished_images(path, whole):
    """Images all files of which are there and complete."""
    found, stems = results_of(path), {name.split('/')[1][0] for name in whole}
    return {stem for stem in stems if all(found.get(name) == whole[name] for name in whole if f'/{stem}' in name)}


def killed_at(step, run):
    """Run in a process that is killed at its n-th step of writing; whether it came so far."""
    steps = count(1)

    def then(function):
        def counted(*args, **kwargs):
            if next(steps) == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*args, **kwargs)

        return counted

    def child():
        torch.set_num_threads(1)
        for module, name in ((os, 'replace'), (os, 'fsync'), (journal.Journal, '_append'), (writer, '_write_files')):
            setattr(module, name, then(getattr(module, name)))
        list(run())

    process = multiprocessing.get_context('fork').Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode in (0, -signal.SIGKILL)
    return process.exitcode != 0


@pytest.mark.skipif('fork' not in multiprocessing.get_all_start_methods(), reason='needs processes that are forked')
def test_a_killed_run_goes_on_where_it_was(stream, inferencer, folder, tmp_path, monkeypatch):
    list(stream(folder, out_dir=tmp_path / 'whole'))
    whole, asked, step = results_of(tmp_path / 'whole'), [], inferencer.model.test_step
    monkeypatch.setattr(inferencer.model, 'test_step', lambda data: asked.append(1) or step(data))
    for number in (1, 3, 7, 9, 10, 21):  # before, while and after an image is written
        out = tmp_path / f'out_{number}'
        assert killed_at(number, lambda out=out: stream(folder, out_dir=out))
        before = finished_images(out, whole)
        del asked[:]
        items = list(stream(folder, out_dir=out, resume=True))
        assert len(asked) == 4 - len(before) and sum(item.resumed for item in items) == len(before)
        assert [item.index for item in items] == [0, 1, 2, 3, 4] and 'empty' in items[1].error
        assert results_of(out) == whole
        del asked[:]
        assert [item.resumed for item in stream(folder, out_dir=out, resume=True)] == [True, False, True, True, True]
        assert not asked


def test_what_has_changed_since_is_computed_again(stream, folder, tmp_path):
    out = tmp_path / 'out'
    first = list(stream(folder, out_dir=out))
    whole = results_of(out)
    (out / 'preds' / 'a_panoptic.png').unlink()
    (out / 'vis' / 'c.png').write_bytes(b'other')
    cv2.imwrite(str(folder / 'd.png'), picture(9, (50, 50)))
    items = list(stream(folder, out_dir=out, resume=True))
    assert [item.resumed for item in items] == [False, False, False, False, True]
    assert items[4].prediction == first[4].prediction and items[3].prediction['width'] == 50
    assert {name for name, content in results_of(out).items() if content != whole[name]} <= {
        'preds/d.json',
        'preds/d_panoptic.png',
        'vis/d.png',
    }
    cv2.imwrite(str(folder / 'aa.png'), picture(9))
    assert [item.resumed for item in stream(folder, out_dir=out, resume=True)] == [True] + [False] * 5


def test_rankings_of_a_continued_run_are_those_of_all_images(stream, folder, tmp_path):
    ask = partial(stream, folder, 'retrieval', vocabulary=None, texts='a dog', out_dir=tmp_path)
    list(islice(ask(), 2))
    (tmp_path / 'rankings.json').unlink(missing_ok=True)
    assert sum(item.resumed for item in ask(resume=True)) >= 1
    assert len(json.loads((tmp_path / 'rankings.json').read_text())[0]['images']) == 4
    assert (tmp_path / 'ranking_1.png').exists()


def test_another_run_is_not_continued(stream, inferencer, folder, tmp_path, monkeypatch):
    out = tmp_path / 'out'
    list(stream(folder, out_dir=out))
    with pytest.raises(ResumeError, match=r'option vocabulary was .*; choose another folder'):
        stream(folder, out_dir=out, vocabulary=Vocabulary(('dog',), (True,)), resume=True)
    with pytest.raises(ResumeError, match="task was 'panoptic' and is now 'semantic'"):
        stream(folder, task='semantic', out_dir=out, resume=True)
    with pytest.raises(ValueError, match='files hold no overlays'):
        stream(folder, out_dir=out, resume=True, return_vis=True)
    with pytest.raises(ValueError, match='--out-dir'):
        stream(folder, resume=True)
    (tmp_path / 'weights').write_bytes(b'y')
    monkeypatch.setattr(inferencer, 'origin', Origin('tiny', str(tmp_path / 'weights')))
    with pytest.raises(ResumeError, match='weights_sha256 was'):
        stream(folder, out_dir=out, resume=True)
    monkeypatch.setattr(inferencer, 'origin', Origin('tiny', None))
    with pytest.raises(ValueError, match='random weights'):
        stream(folder, out_dir=out, resume=True)


def test_two_processes_do_not_share_a_journal(stream, folder, tmp_path):
    pytest.importorskip('fcntl')
    running = stream(folder, out_dir=tmp_path)
    next(running)
    with pytest.raises(OutputError, match='another process'):
        stream(folder, out_dir=tmp_path, resume=True)
    assert len(list(stream(folder, out_dir=tmp_path))) == 5  # as ever; it cannot be continued
    running.close()
    assert sum(item.resumed for item in stream(folder, out_dir=tmp_path, resume=True)) >= 1


def test_only_unfinished_files_of_the_killed_image_are_removed(tmp_path):
    for name in ('.a.json.123.part', '.a.json.part', '.b.json.123.part', '.a[1].json.5.part'):
        (tmp_path / name).touch()
    writing.remove_unfinished(tmp_path / 'a.json')
    writing.remove_unfinished(tmp_path / 'a[1].json')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['.a.json.part', '.b.json.123.part']
