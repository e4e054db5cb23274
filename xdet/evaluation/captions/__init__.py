"""Metrics of generated captions, of images and of regions."""
