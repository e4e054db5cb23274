# X-Decoder with DaViT-d5 as in the official release: 201 queries, 497.2 M parameters.
_base_ = './focal-t.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='DaViT',
        embed_dims=(256, 512, 1024, 2048),
        depths=(1, 1, 9, 1),
        num_heads=(8, 16, 32, 64),
        window_size=7,
        down_kernel_size=3,
        drop_path_rate=0.3,
    ),
    pixel_decoder=dict(in_channels=(256, 512, 1024, 2048)),
    decoder=dict(num_queries=201),
    tasks=dict(retrieval=dict(backbone_channels=2048)),
)
