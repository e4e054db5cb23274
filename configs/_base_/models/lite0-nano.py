# A small X-Decoder for photographs: EfficientNet-Lite0 of timm with ImageNet weights (3 M parameters).
_base_ = './focal-nano.py'
model = dict(
    data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[127.5, 127.5, 127.5]),
    backbone=dict(_delete_=True, type='TimmBackbone', name='tf_efficientnet_lite0', drop_path_rate=0.05),
    pixel_decoder=dict(in_channels=(24, 40, 112, 320)),
    tasks=dict(retrieval=dict(backbone_channels=320)),
)
