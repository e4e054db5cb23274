# data/sunrgbd/: either SUNRGBD-test_images/*.jpg and sunrgbd_train_test_labels/*.png (ankurhanda/sunrgbd-meta-data), or
# image/test/*.jpg and label37/test/*.png (chrischoy/SUN_RGBD)
#   python tools/dataset_converters/sunrgbd.py data/sunrgbd
# adds test37.txt, the list of pairs.
_base_ = './_base_/semantic_512.py'
data_root = 'data/sunrgbd/'

test_dataloader = dict(
    dataset=dict(
        data_root=data_root, ann_file='test37.txt', classes='sunrgbd_37', ignore_label=(0, 255), label_offset=1
    )
)
benchmark = dict(
    title='SUN RGB-D 37',
    split='test',
    num_samples=5050,
    headline=('semantic/mIoU',),
    reference='X-Decoder, table 2',
    layout='test37.txt and the images and label images that it lists',
    notes=(
        'Label images hold 0 to 37 and 255: values are 1 + class, 0 and 255 are void (X-Decoder issue 83).',
        'refridgerator is misspelt, in the list as well as in what the text encoder is told.',
        'Releases of the official code before v2.0 have no background column: they used bag in its place.',
    ),
)
protocols = dict(
    official=dict(
        why='Shortest edge 512, bicubic, longest edge not limited; the published numbers use half precision.'
    ),
    recommended=dict(why='The same in single precision.'),
)
