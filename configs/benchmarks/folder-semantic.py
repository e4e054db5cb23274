# Semantic segmentation of your own images: two folders with equal file names, and the class names.
_base_ = './_base_/own_data.py'
test_dataloader = dict(
    dataset=dict(
        type='ImageLabelFolderDataset',
        classes='classes.json',
        data_prefix=dict(img='images/{split}/', seg='labels/{split}/'),
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ModelResize', task='semantic'),
            dict(type='LoadSegments'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
        ],
    )
)
test_evaluator = [
    dict(type='SemanticIoU'),
]
benchmark = dict(
    title='own semantic data',
    split='val',
    headline=('semantic/mIoU', 'semantic/aAcc'),
    layout='images/{split}/NAME.jpg, labels/{split}/NAME.png (8 or 16-bit class index, 255 = unlabelled), classes.json',
)
