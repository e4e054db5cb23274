# COCO captions, Karpathy's test split: 5,000 images of val2014. dataset_coco.json is read as published.
_base_ = './_base_/karpathy_224.py'
data_root = 'data/coco/'

test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='annotations/dataset_coco.json', data_prefix=dict(img=''))
)
benchmark = dict(
    title='COCO captions and retrieval',
    num_samples=5000,
    layout='annotations/dataset_coco.json, val2014/COCO_val2014_*.jpg',
)
