# A small X-Decoder for CPUs and for the embedded model `scenes`.
# The token table is narrow (64) because it would otherwise outweigh the rest of the model.
_base_ = './focal-t.py'
model = dict(
    backbone=dict(embed_dims=32, drop_path_rate=0.0),
    pixel_decoder=dict(
        in_channels=(32, 64, 128, 256), feat_channels=128, num_layers=2, num_heads=4, feedforward_channels=512
    ),
    text_encoder=dict(width=64, num_heads=4, num_layers=4, embed_dims=128),
    decoder=dict(num_queries=51, embed_dims=128, num_heads=4, num_layers=6, feedforward_channels=512),
    tasks=dict(
        captioning=dict(embed_dims=128, text_width=64),
        retrieval=dict(backbone_channels=256, embed_dims=128),
    ),
)
