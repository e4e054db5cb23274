"""A model behind HTTP: every task as an endpoint, see docs/serve.md. Nothing here is imported without the extra."""
