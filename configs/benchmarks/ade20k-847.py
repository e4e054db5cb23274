# data/ADE20K_2021_17_01/images/ADE/validation/..., as published
#   python tools/dataset_converters/ade20k_full.py data/ADE20K_2021_17_01
# adds images_detectron2/validation/*.jpg and annotations_detectron2/validation/*.tif.
_base_ = './_base_/semantic_640.py'
data_root = 'data/ADE20K_2021_17_01/'
test_dataloader = dict(
    dataset=dict(
        type='ImageLabelFolderDataset',
        data_root=data_root,
        data_prefix=dict(img='images_detectron2/validation/', seg='annotations_detectron2/validation/'),
        img_suffix='.jpg',
        label_suffix='.tif',
        classes=dict(name='ade20k_847', synonyms=False),
        ignore_label=65535,
    )
)
benchmark = dict(
    title='ADE20K-847',
    split='validation',
    num_samples=2000,
    headline=('semantic/mIoU',),
    layout='images_detectron2/validation/*.jpg, annotations_detectron2/validation/*.tif (made by the converter)',
    reference='X-Decoder, table 2',
    notes=(
        'Nine names occur more than once; of classes with equal names the first gets all pixels.',
        'Images are made smaller and compressed once more before the test, as in the published numbers.',
    ),
)
protocols = dict(
    official=dict(why='As published: one name a class, also where two classes then have the same.'),
    recommended={
        'test_dataloader.dataset.classes.synonyms': True,
        'why': 'Synonyms tell classes of equal names apart. Not measured with released weights yet.',
    },
)
