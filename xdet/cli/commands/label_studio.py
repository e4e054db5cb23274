"""Annotate in Label Studio with a model: its labels are found, and what you click or frame becomes a mask.

    xdet label-studio --local-files photos
    LABEL_STUDIO_API_KEY=... xdet label-studio --label-studio-url http://127.0.0.1:8080 --train-dir work_dirs/studio

Then add http://127.0.0.1:9090 as the model of a project (Settings, Model). docs/label_studio.md explains it.

Exit codes: 0 stopped by SIGTERM, 130 by Ctrl-C; 2 wrong usage, a missing package, no model, or an address at which it
cannot listen.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from typing import TYPE_CHECKING

from xdet.cli.errors import program
from xdet.cli.parsing import Parser, refuse_unread

from . import serve

if TYPE_CHECKING:
    from fastapi import FastAPI

    from xdet.serve.service import Service

URL_VARIABLE, KEY_VARIABLE = 'LABEL_STUDIO_URL', 'LABEL_STUDIO_API_KEY'
_TASKS = ('instance', 'panoptic', 'semantic')


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    studio = parser.add_argument_group('Label Studio')
    studio.add_argument('--task', choices=_TASKS, default='instance', help='how images are annotated (instance)')
    studio.add_argument('--score', type=float, default=0.3, help='least score of what is annotated (0.3)')
    studio.add_argument('--local-files', metavar='DIR', help='folder that local files start from (default: refused)')
    studio.add_argument(
        '--label-studio-url',
        metavar='URL',
        help=f'read uploads and exports there, and nowhere else (default: {URL_VARIABLE}, or refused)',
    )
    studio.add_argument('--label-studio-token', metavar='TOKEN', help=f'of a user (default: {KEY_VARIABLE})')
    studio.add_argument('--train-dir', metavar='DIR', help='allow training, and keep it there (default: refused)')
    studio.add_argument('--train-iters', type=int, default=300, metavar='N', help='iterations of a training (300)')
    serve.add_options(parser, 9090)
    return parser


def run(args: argparse.Namespace) -> int:
    """Serve until a signal comes; returns the exit code."""
    if not 0 <= args.score <= 1:
        raise ValueError(f'--score is {args.score}; accepted are numbers from 0 to 1')
    refuse_unread(args, not args.train_dir, 'is for a training, which --train-dir allows', 'train_iters')
    serve.check_packages('xdet label-studio')
    from xdet.serve.label_studio.images import LabelStudio, TaskImages
    from xdet.serve.label_studio.training import Training

    url = args.label_studio_url or os.environ.get(URL_VARIABLE)
    key = args.label_studio_token or os.environ.get(KEY_VARIABLE)
    if args.label_studio_token and not url:
        raise ValueError('--label-studio-token says nothing without --label-studio-url')
    if url and not key:
        raise ValueError(f'--label-studio-url needs a token (--label-studio-token, or the variable {KEY_VARIABLE})')
    images = TaskImages(args.local_files, LabelStudio(url, key) if url and key else None, args.body_bytes)
    training = Training(args.train_dir, images, args.train_iters) if args.train_dir else None

    def make(service: Service, token: str | None, hosts: Collection[str] | None) -> FastAPI:
        from xdet.serve.label_studio.app import Settings, make_app

        return make_app(service, token, hosts, Settings(images, args.task, args.score, training))

    return serve.run(args, make)


main = program(parser, run)
