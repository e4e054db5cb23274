"""Which prediction learns which target, where masks are compared, and how well they fit."""
