"""Indexes of images and texts, and search in them."""
