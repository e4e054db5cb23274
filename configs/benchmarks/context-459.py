# data/VOCdevkit/VOC2010/{JPEGImages,ImageSets/Main}, and trainval/*.mat of PASCAL-Context
#   python tools/dataset_converters/pascal_context.py data/VOCdevkit/VOC2010
# adds context_459/*.png.
_base_ = './_base_/semantic_512.py'
data_root = 'data/VOCdevkit/VOC2010/'

test_dataloader = dict(
    dataset=dict(
        type='ImageLabelFolderDataset',
        data_root=data_root,
        data_prefix=dict(img='JPEGImages/', seg='context_459/'),
        ann_file='ImageSets/Main/val.txt',
        img_suffix='.jpg',
        classes='pascal_context_459',
        ignore_label=65535,
    )
)
benchmark = dict(
    title='Pascal Context 459',
    split='validation',
    num_samples=5105,
    headline=('semantic/mIoU',),
    reference='X-Decoder, table 2',
    layout='JPEGImages/*.jpg, context_459/*.png, ImageSets/Main/val.txt',
    notes=(
        'Label images have 16 bits; unlabelled pixels do not count. Values are classes.',
        'The official code has no evaluation of this data set: it follows that of VOC.',
    ),
)
protocols = dict(
    official=dict(why='Shortest edge 512, bicubic; names as published. There is no official code for this data set.'),
    recommended=dict(
        {'test_dataloader.dataset.classes': dict(_delete_=True, name='pascal_context_459', synonyms=True)},
        why='Every class is described by the mean of its synonyms. Not measured with released weights yet.',
    ),
)
