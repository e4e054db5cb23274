"""Heads of tasks that read the queries or the pixels: clicks, depth, keypoints; what they share."""
