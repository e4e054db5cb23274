"""Masks: as parts of one map, as plain data, and their tight boxes."""
