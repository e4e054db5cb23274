# data/bdd100k/{images/10k/val/*.jpg, labels/sem_seg/masks/val/*.png}, as published.
_base_ = './_base_/testing.py'
data_root = 'data/bdd100k/'
test_dataloader = dict(
    dataset=dict(
        type='ImageLabelFolderDataset',
        data_root=data_root,
        data_prefix=dict(img='images/10k/val/', seg='labels/sem_seg/masks/val/'),
        img_suffix='.jpg',
        classes='bdd100k_sem_19',
        pipeline=[
            dict(type='LoadXDetImage'),
            dict(type='ResizeShortestEdge', scale=800, rule='torchvision'),
            dict(type='LoadSegments'),
            dict(type='PackXDetInputs', test_mode=True, tasks=('semantic',)),
        ],
    )
)
test_evaluator = [dict(type='SemanticIoU')]
benchmark = dict(
    title='BDD100K semantic',
    split='validation of the 10k images',
    num_samples=1000,
    headline=('semantic/mIoU',),
    layout='images/10k/val/*.jpg, labels/sem_seg/masks/val/*.png',
    reference='X-Decoder, table 2',
    notes=(
        'Names are those of Cityscapes. The older release has label files NAME_train_id.png: set label_suffix.',
        'The longest edge is not limited, whatever the released configuration says: 1422x800 pixels.',
    ),
)
protocols = dict(
    official=dict(why='Shortest edge 800, bicubic, as published apart from half precision.'),
    recommended=dict(why='The same in single precision: all images have one size.'),
)
