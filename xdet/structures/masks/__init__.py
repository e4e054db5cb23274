"""Masks: as parts of one map, as plain data, in COCO's panoptic coding, and their tight boxes."""
