"""Training from what was annotated: a COCO JSON, a config of own data, and ``xdet train`` in a process of its own."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from xdet.datasets.exchange import AnnotatedSet, split_set, write_annotations, wrong_sizes
from xdet.datasets.exchange.entries import size_of_bytes
from xdet.datasets.exchange.formats.label_studio import read
from xdet.datasets.exchange.source import Source
from xdet.datasets.files.image_io import IMAGE_SUFFIXES
from xdet.io.errors import cause
from xdet.io.reading import expand, parse_json, read_json, shorten
from xdet.io.schema import require, shown
from xdet.io.writing import make_folder, write_bytes, write_files, write_json, write_text

from ..refusal import Refused
from .images import TaskImages
from .label_config import LabelConfig

_LOGGER = logging.getLogger(__name__)
_EXPORT_BYTES = 1 << 30
_LAST_LINE_BYTES = 4096
_SECONDS_TO_STOP = 10.0


def project_of(body: Mapping[str, Any]) -> int:
    """Number of the project that a request is about: ``project`` is it, ``'3.1700000000'``, or an object with ``id``.

    Raises:
        Refused: There is none.
    """
    project = body.get('project')
    number = project.get('id') if isinstance(project, Mapping) else project
    if isinstance(number, bool) or not re.fullmatch(r'[0-9]{1,12}(\.[0-9]+)?', str(number)):
        raise Refused(422, f'project is {shown(project)}; accepted is its number, or an object with id')
    return int(str(number).partition('.')[0])


class Training:
    """Collects annotations of projects and trains from them, one training at a time.

    Below the folder, ``project-N/tasks/ID.json`` is a task with its annotations as a webhook brought it, and
    ``project-N/TIME/`` a training: ``data`` (COCO JSON and images), ``config.py``, ``log.txt`` and ``training``.

    Args:
        folder (str | Path): Where all of it goes.
        images (TaskImages): Reads the images, and what a project has if it knows a Label Studio.
        iters (int): Iterations of a training.
        command (Sequence[str], optional): Program that gets the config and ``--work-dir DIR``; None: ``xdet train``.

    Raises:
        ValueError: The number of iterations is not above 0.
    """

    def __init__(
        self, folder: str | Path, images: TaskImages, iters: int = 300, command: Sequence[str] | None = None
    ) -> None:
        if iters < 1:
            raise ValueError(f'--train-iters is {iters}; accepted are whole numbers from 1')
        self.folder = expand(folder).resolve()
        make_folder(self.folder)
        self.images = images
        self.iters = iters
        self.command = list(command or (sys.executable, '-m', 'xdet', 'train'))
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._run: Path | None = None

    # ---------------------------------------------------------------------------------------- what webhooks bring

    def keep(self, body: Mapping[str, Any]) -> None:
        """Keep the annotation, or the annotations, of an event, in place of those that their tasks had.

        Raises:
            Refused: The event does not say task and annotation.
            OSError: It cannot be written.
        """
        tasks, annotations = (
            value if isinstance(value, list) else [value] for value in (body.get('task'), body.get('annotation'))
        )
        kept: dict[int, dict[str, Any]] = {}
        for place, annotation in enumerate(annotations):
            task = _task_of(annotation, place, tasks)
            if not isinstance(task, dict) or not isinstance(annotation, dict) or not isinstance(task.get('data'), dict):
                raise Refused(422, 'the event has no task with data, or no annotation')
            _number(annotation, 'annotation')
            result = annotation.get('result')
            if not isinstance(result, list):
                raise Refused(422, f'the result of the annotation is {shown(result)}; accepted is a list')
            number = _number(task, 'task')
            kept.setdefault(number, dict(id=number, data=task['data'], annotations=[]))['annotations'].append(
                annotation
            )
        folder = self._tasks(project_of(body))
        write_files({folder / f'{number}.json': json.dumps(entry).encode() for number, entry in kept.items()})

    def forget(self, body: Mapping[str, Any]) -> None:
        """Forget the annotations, or the tasks, that an event says are deleted.

        Raises:
            Refused: It does not say which.
            OSError, ValueError: A file of the folder is damaged or cannot be removed.
        """
        folder = self._tasks(project_of(body))
        for entry in _entries(body.get('tasks', [])):
            (folder / f'{_number(entry, "task")}.json').unlink(missing_ok=True)
        gone = {_number(entry, 'annotation') for entry in _entries(body.get('annotations', []))}
        for path in folder.glob('*.json') if gone else ():
            made = require(read_json(path), 'annotations', list, str(path))
            if any(require(one, 'id', int, str(path)) in gone for one in made):
                path.unlink(missing_ok=True)

    def _tasks(self, project: int) -> Path:
        folder = self.folder / f'project-{project}' / 'tasks'
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    # ------------------------------------------------------------------------------------------------ one training

    def start(self, project: int, tasks: list[Any] | None, config: LabelConfig) -> dict[str, Any]:
        """Start training.

        Args:
            project (int): Its number.
            tasks (list, optional): Tasks with annotations; None: all of the project, from Label Studio if its address
                is known, else those that webhooks brought.
            config (LabelConfig): Of the project.

        Returns:
            dict: :meth:`status`; ``job`` is the folder of the training below that of all of them.

        Raises:
            Refused: One runs already, or there is nothing to train from.
            OSError: Its folder cannot be made.
        """
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                raise Refused(409, f'a training is running already ({self._job}); wait for it')
            run = self._new_folder(project)
            try:
                file = self._prepare(run, self._all_tasks(project) if tasks is None else tasks, config)
                with open(run / 'log.txt', 'wb') as log:
                    self._process = subprocess.Popen(
                        [*self.command, str(file), '--work-dir', str(run / 'training')],
                        stdin=subprocess.DEVNULL,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        cwd=run,
                    )
            except BaseException as error:
                shutil.rmtree(run, ignore_errors=True)
                if isinstance(error, (OSError, ValueError)):
                    raise Refused(422, cause(error).replace(f'{run}/export/', '')) from None
                raise
            self._run = run
            return self.status()

    def status(self) -> dict[str, Any]:
        """``state`` (``idle``, ``running``, ``done`` or ``failed``), ``job``, and the last line of its log."""
        process, run = self._process, self._run
        if process is None or run is None:
            return dict(state='idle')
        code = process.poll()
        state = 'running' if code is None else 'failed' if code else 'done'
        told = dict(state=state, job=self._job, last_line=_last_line(run / 'log.txt'))
        weights = sorted((run / 'training').glob('iter_*.pth'), key=lambda path: int(re.sub(r'\D', '', path.stem) or 0))
        return told | (dict(config=str(run / 'config.py'), weights=str(weights[-1])) if weights else {})

    def close(self) -> None:
        """End a training that runs."""
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                return
            _LOGGER.warning('the training %s is ended with the server', self._job)
            process.terminate()
            try:
                process.wait(_SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def _job(self) -> str:
        return '' if self._run is None else self._run.relative_to(self.folder).as_posix()

    def _new_folder(self, project: int) -> Path:
        folder = stamp = self.folder / f'project-{project}' / time.strftime('%Y%m%d-%H%M%S')
        number = 1
        while True:
            try:
                folder.mkdir(parents=True)
                return folder
            except FileExistsError:  # of a training that ended within this second
                number += 1
                folder = stamp.with_name(f'{stamp.name}-{number}')

    def _all_tasks(self, project: int) -> list[Any]:
        own = self.images.label_studio
        if own is None:
            return [read_json(path) for path in sorted(self._tasks(project).glob('*.json'))]
        tasks = parse_json(own.get(f'/api/projects/{project}/export?exportType=JSON', _EXPORT_BYTES), 'the export')
        if not isinstance(tasks, list):
            raise Refused(502, f'Label Studio: the export is {shown(tasks)}, not a list of tasks')
        return tasks

    def _prepare(self, run: Path, tasks: list[Any], config: LabelConfig) -> Path:
        """Write data and config; the path of the config."""
        exported = run / 'export'
        count = self._export(exported, tasks, config.field)
        labels = tuple(dict.fromkeys(label for control in config.controls for label in control.labels.values()))
        source = Source(exported, exported, labels)
        data_set = read(source)
        source.problems.report()
        if wrong := wrong_sizes(data_set):
            raise ValueError(wrong[0])
        if not any(segment.rle is not None for image in data_set.images for segment in image.segments):
            raise ValueError(
                f'nothing to train from: {count} annotated images, and no brush or polygon in them '
                '(boxes alone teach no masks)'
            )
        write_annotations(_divided(data_set), 'coco', run / 'data')
        shutil.rmtree(exported)
        write_text(run / 'config.py', _config(run / 'data', data_set, self.iters))
        return run / 'config.py'

    def _export(self, folder: Path, tasks: list[Any], field: str) -> int:
        """Write images and annotations of tasks as an export of Label Studio has them; how many there are."""
        done: set[str] = set()
        for task in tasks:
            if not isinstance(task, dict) or not isinstance(task.get('data'), dict):
                raise ValueError(f'a task is {shown(task)}; accepted are objects with id, data and annotations')
            made = [one for one in _entries(task.get('annotations', [])) if isinstance(one, dict)]
            annotations = [one for one in made if not one.get('was_cancelled')]
            if not annotations:
                continue
            name = f'task-{_number(task, "task")}'
            if name in done:
                raise ValueError(f'{name} stands twice in the request')
            try:
                file, data = self.images.read(task['data'].get(field))
            except Refused as error:
                raise ValueError(f'{name}: {error.message}') from None
            suffix = Path(file).suffix.lower()
            file = f'{name}{suffix if suffix in IMAGE_SUFFIXES else ".png"}'
            size_of_bytes(data, file)  # damage is told now, not in a log
            write_bytes(folder / file, data)
            write_json(folder / f'{name}.json', [dict(data=dict(image=file), annotations=annotations[:1])])
            done.add(name)
        if not done:
            raise ValueError('nothing to train from: no task has an annotation')
        return len(done)


def _divided(data: AnnotatedSet) -> AnnotatedSet:
    """A fifth of the images, at least one, to validate with; one image alone serves for both."""
    if len(data.images) < 2:
        return data
    return split_set(data, val=max(1, round(len(data.images) / 5)))


def _config(folder: Path, data: AnnotatedSet, iters: int) -> str:
    lines = [
        "_base_ = 'xdet::_base_/own/instance.py'",
        f'data_root = {str(folder)!r}',
        *([f"{part}_file = 'instances.json'" for part in ('train', 'val')] if len(data.images) < 2 else []),
        f'max_iters = {iters}',
        f'interval = {min(iters, 100)}',
    ]
    return '\n'.join(lines) + '\n'


def _task_of(annotation: Any, place: int, tasks: list[Any]) -> Any:
    """The task of one annotation of an event: by the number that the annotation says, else the one at its place."""
    number = annotation.get('task') if isinstance(annotation, dict) else None
    named = [task for task in tasks if number is not None and isinstance(task, dict) and task.get('id') == number]
    return next(iter(named), tasks[place] if place < len(tasks) else None)


def _entries(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise Refused(422, f'{shown(value)} is no list of tasks or annotations')
    return value


def _number(entry: Any, what: str) -> int:
    number = entry.get('id') if isinstance(entry, Mapping) else entry
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 10**15:
        raise Refused(422, f'the id of the {what} is {shown(number)}; accepted are whole numbers')
    return number


def _last_line(path: Path) -> str:
    """The last line of a log that has text."""
    try:
        with open(path, 'rb') as file:
            file.seek(max(file.seek(0, os.SEEK_END) - _LAST_LINE_BYTES, 0))
            lines = file.read().decode('utf-8', 'replace').split('\n')
    except OSError:
        return ''
    return shorten(next((' '.join(line.split()) for line in reversed(lines) if line.strip()), ''), 300)
