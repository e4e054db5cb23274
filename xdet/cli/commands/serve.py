"""Serve the tasks of a model over HTTP, on this machine alone unless --host says otherwise.

    xdet serve
    xdet serve --model photos --port 8001
    curl -F image=@demo/photos/chelsea.jpg -F "classes=cat . sofa" http://127.0.0.1:8000/v1/tasks/panoptic

docs/serve.md explains the requests; GET /v1/tasks lists tasks and options, GET /openapi.json describes all of it.

Exit codes: 0 stopped by SIGTERM, 130 by Ctrl-C, both after all that had begun was answered; 2 wrong usage, a missing
package, no model, or an address at which it cannot listen.
"""

from __future__ import annotations

import argparse
import logging
import os
import warnings
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import TYPE_CHECKING

from xdet.cli.chosen_model import add_model_options, open_model
from xdet.cli.errors import add_debug, program
from xdet.cli.parsing import Parser
from xdet.io.terminal import tell
from xdet.lazy import import_optional

if TYPE_CHECKING:
    from fastapi import FastAPI

    from xdet.serve.service import Service

    MakeApp = Callable[[Service, str | None, Collection[str] | None], FastAPI]

TOKEN_VARIABLE = 'XDET_SERVE_TOKEN'
_LOOPBACK = ('127.0.0.1', 'localhost', '::1')


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    return parser


def add_options(parser: argparse.ArgumentParser, port: int = 8000) -> None:
    """Options of every server: where it listens, its model, and its limits."""
    from xdet.serve.limits import Limits

    where = parser.add_argument_group('where')
    where.add_argument('--host', default='127.0.0.1', help='address to listen at (127.0.0.1: this machine alone)')
    where.add_argument('--port', type=int, default=port, help=f'port ({port}); 0 is a free one')
    where.add_argument(
        '--token',
        help=f'what requests need as "Authorization: Bearer TOKEN", or as password (or {TOKEN_VARIABLE})',
    )
    model = parser.add_argument_group('model')
    add_model_options(model, companions=True)
    model.add_argument(
        '--batch-size', type=int, default=1, help='most waiting requests of equal options that run together (1)'
    )
    limits = parser.add_argument_group('limits of requests')
    for limit in fields(Limits):
        default = getattr(Limits, limit.name)
        limits.add_argument(
            f'--{limit.name.replace("_", "-")}',
            type=type(default),
            default=default,
            metavar='N',
            help=f'{limit.metadata["help"]} ({default})',
        )
    add_debug(parser)


def check_packages(command: str) -> None:
    """What a server needs.

    Raises:
        ImportError: A package is not installed.
    """
    for module in ('fastapi', 'uvicorn', 'python_multipart'):
        import_optional(module, command, 'serve', module.replace('_', '-'))


def run(args: argparse.Namespace, make: MakeApp | None = None) -> int:
    """Serve until a signal comes; returns the exit code.

    Args:
        args (argparse.Namespace): Of :func:`add_options`.
        make (MakeApp, optional): Makes the application; None: :func:`xdet.serve.app.make_app`.
    """
    from xdet.serve.limits import Limits

    check_packages('xdet serve')
    limits = Limits(**{limit.name: getattr(args, limit.name) for limit in fields(Limits)})
    if args.batch_size < 1:
        raise ValueError(f'--batch-size is {args.batch_size}; accepted are whole numbers from 1')
    token = args.token if args.token is not None else os.environ.get(TOKEN_VARIABLE)
    if token is not None and not token.strip():
        raise ValueError('the token is empty; accepted is any text, or none at all')

    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        from xdet.serve.app import make_app
        from xdet.serve.listening import bind, listen
        from xdet.serve.service import Service

    listener = bind(args.host, args.port)  # before the model is built, which takes seconds
    with listener:
        inferencer = open_model(args)
        inferencer.origin.describe()  # hashes the weights now, not within the first request
        local = args.host in _LOOPBACK
        service = Service(inferencer, limits, args.batch_size)
        app = (make or make_app)(service, token, {*_LOOPBACK, '[::1]'} if local else None)
        host = f'[{args.host}]' if ':' in args.host else args.host
        if token is None and not local:
            tell(f'warning: whoever reaches {host} may use this server; --token asks for a token', error=True)
        # What is wrong with a request is told to who sent it; strangers cannot fill the log. Faults are still logged.
        for name in ('uvicorn', 'xdet.inference.asking'):
            logging.getLogger(name).setLevel(logging.ERROR)
        logging.getLogger('python_multipart').setLevel(logging.CRITICAL)
        warnings.filterwarnings('ignore', module='PIL')
        name = inferencer.origin.model
        tell(f'serving {name} at http://{host}:{listener.getsockname()[1]} (Ctrl-C stops it)', flush=True)
        return 130 if listen(app, service, listener) == 2 else 0


main = program(parser, run)
