# Flickr30k, Karpathy's test split: 1,000 images with five captions. dataset_flickr30k.json is read as published.
_base_ = './_base_/karpathy_224.py'
data_root = 'data/flickr30k/'

test_dataloader = dict(
    dataset=dict(data_root=data_root, ann_file='dataset_flickr30k.json', data_prefix=dict(img='flickr30k-images/'))
)
benchmark = dict(
    title='Flickr30k captions and retrieval',
    num_samples=1000,
    reference='X-Decoder, table 1 (fine-tuned retrieval)',
    layout='dataset_flickr30k.json, flickr30k-images/*.jpg',
)
