# DaViT-d5 with the deformable pixel decoder.
_base_ = ['../_base_/models/davit-d5.py', '../_base_/inference_sizes.py', '../_base_/default_runtime.py']
model = dict(
    pixel_decoder=dict(
        _delete_=True,
        type='DeformablePixelDecoder',
        in_channels=(256, 512, 1024, 2048),
        feat_channels=512,
        num_layers=6,
        num_heads=8,
        num_points=4,
        feedforward_channels=1024,
    )
)
