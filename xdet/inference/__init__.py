"""From images and words to segments and texts."""
