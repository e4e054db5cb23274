"""Opens a page in the browser: every task, on images of yours.

    xdet page
    xdet page --model NAME --weights FILE

Nothing leaves this machine: the page asks no other address for anything. Without --host only this machine can open it;
there is no password, so give another --host only in networks that you trust.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from xdet.cli.chosen_model import add_model_options, chosen
from xdet.cli.errors import add_debug, exit_code
from xdet.cli.parsing import Parser
from xdet.io.terminal import tell
from xdet.lazy import import_optional


def parser(prog: str | None = None) -> argparse.ArgumentParser:
    """Command line."""
    parser = Parser(prog, description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_model_options(parser)
    parser.add_argument('--host', default='127.0.0.1', help='address to listen at (127.0.0.1)')
    parser.add_argument('--port', type=int, default=7860, help='port to listen at, 0 for any that is free (7860)')
    parser.add_argument('--open', action='store_true', help='open it in the browser of the system')
    add_debug(parser)
    return parser


def run(args: argparse.Namespace) -> int:
    """Serve the page until interrupted; returns the exit code."""
    import threading
    from functools import partial

    from xdet.compat.quiet import quiet_imports

    with quiet_imports():
        import_optional('gradio', 'the page', 'page')
        from xdet.apis import XDecoderInferencer
        from xdet.model_zoo import DEFAULT_MODEL, EMBEDDED
        from xdet.page.app import opened
        from xdet.page.desk import Desk

    if not 0 <= args.port <= 65535:
        raise ValueError(f'--port is {args.port}; accepted are 0 to 65535')
    if args.model is None and args.weights is None and not args.random_weights:
        names = sorted(EMBEDDED, key=lambda name: name != DEFAULT_MODEL)
    else:
        names = [args.model or DEFAULT_MODEL]
    models = {name: partial(XDecoderInferencer, **(chosen(args) | dict(model=name))) for name in names}
    tell('loading the model', error=True)
    with opened(Desk(models), args.host, args.port, args.open) as url:
        tell(f'the page is at {url} (Ctrl-C ends it)', flush=True)
        threading.Event().wait()
    return 0


def main(argv: Sequence[str] | None = None, prog: str | None = None) -> int:
    """Entry point: every foreseeable error is one line on stderr and exit code 2; ended by Ctrl-C, it is 0."""
    args = parser(prog).parse_args(argv)
    code = exit_code(lambda: run(args), args.debug, interrupted='the page is closed')
    return 0 if code == 130 else code
