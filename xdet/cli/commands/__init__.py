"""One module per command of ``xdet``, with ``parser(prog)`` and ``main(argv, prog)``."""
