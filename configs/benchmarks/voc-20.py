# data/VOCdevkit/VOC2012/{JPEGImages,SegmentationClass,ImageSets/Segmentation}, as published; nothing to convert.
_base_ = './_base_/semantic_512.py'
data_root = 'data/VOCdevkit/VOC2012/'

test_dataloader = dict(
    dataset=dict(
        type='ImageLabelFolderDataset',
        data_root=data_root,
        data_prefix=dict(img='JPEGImages/', seg='SegmentationClass/'),
        ann_file='ImageSets/Segmentation/val.txt',
        img_suffix='.jpg',
        classes='pascal_voc_20',
        ignore_label=(0, 255),
        label_offset=1,
    )
)
benchmark = dict(
    title='Pascal VOC 2012 (20)',
    split='validation',
    num_samples=1449,
    headline=('semantic/mIoU',),
    reference='X-Decoder, table 2',
    layout='JPEGImages/*.jpg, SegmentationClass/*.png, ImageSets/Segmentation/val.txt',
    notes=(
        'Pixels of the class background do not count, and no pixel is given to it: the best of 20 classes wins.',
        'That reading of the protocol is ours: the official code has no VOC evaluation. With background as a class and '
        'the classes of each image a user of the official code found 51.6 in place of 96.2 (X-Decoder issue 64).',
        'diningtable, pottedplant and tvmonitor are given to the text encoder as one word.',
    ),
)
protocols = dict(
    official=dict(why='Shortest edge 512, bicubic; names as published. There is no official code for this data set.'),
    recommended=dict(
        {'test_dataloader.dataset.classes': dict(_delete_=True, name='pascal_voc_20', synonyms=True)},
        why='Every class is described by the mean of its synonyms, such as dining table. Not measured yet.',
    ),
)
