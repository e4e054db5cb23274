"""A page for the browser over the same functions as everything else; ``xdet page`` opens it."""
