# data/VOCdevkit/VOC2010/{JPEGImages,ImageSets/Main}, and trainval/*.mat of PASCAL-Context
#   python tools/dataset_converters/pascal_context.py data/VOCdevkit/VOC2010
# adds context_59/*.png.
_base_ = './_base_/semantic_512.py'
data_root = 'data/VOCdevkit/VOC2010/'

test_dataloader = dict(
    dataset=dict(
        type='ImageLabelFolderDataset',
        data_root=data_root,
        data_prefix=dict(img='JPEGImages/', seg='context_59/'),
        ann_file='ImageSets/Main/val.txt',
        img_suffix='.jpg',
        classes='pascal_context_59',
        ignore_label=255,
    )
)
benchmark = dict(
    title='Pascal Context 59',
    split='validation',
    num_samples=5105,
    headline=('semantic/mIoU',),
    reference='X-Decoder, table 2',
    layout='JPEGImages/*.jpg, context_59/*.png, ImageSets/Main/val.txt',
    notes=(
        'Pixels of the other 400 classes do not count, and none is given to a class background.',
        'Labels are those of the .mat files; the Detail API, which others use, has one image less.',
        'The official code has no evaluation of this data set: it follows that of VOC.',
    ),
)
protocols = dict(
    official=dict(why='Shortest edge 512, bicubic; names as published. There is no official code for this data set.'),
    recommended=dict(
        {'test_dataloader.dataset.classes': dict(_delete_=True, name='pascal_context_59', synonyms=True)},
        why='Every class is described by the mean of its synonyms. Not measured with released weights yet.',
    ),
)
