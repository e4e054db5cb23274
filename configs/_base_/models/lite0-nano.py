# A small X-Decoder for photographs: focal-nano with the EfficientNet-Lite0 of timm (3 M parameters) as backbone. Its
# ImageNet weights come from `backbone.weights` or tools/misc/start_weights.py (docs/photos.md).
_base_ = './focal-t.py'
model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(_delete_=True, type='TimmBackbone', name='tf_efficientnet_lite0', drop_path_rate=0.05),
    pixel_decoder=dict(
        in_channels=(24, 40, 112, 320), feat_channels=128, num_layers=2, num_heads=4, feedforward_channels=512
    ),
    text_encoder=dict(width=64, num_heads=4, num_layers=4, embed_dims=128),
    decoder=dict(num_queries=51, embed_dims=128, num_heads=4, num_layers=6, feedforward_channels=512),
    tasks=dict(
        captioning=dict(embed_dims=128, text_width=64),
        retrieval=dict(backbone_channels=320, embed_dims=128),
    ),
)
