# A backbone from another library: mmpretrain's Swin-T through the registry. Any backbone with maps of strides
# 4, 8, 16 and 32 fits this way; `in_channels` are their widths.
_base_ = './xdecoder_focal-t_8xb4-50e_coco-panoptic.py'
model = dict(
    backbone=dict(
        _delete_=True,
        type='mmpretrain.SwinTransformer',
        arch='tiny',
        img_size=224,
        out_indices=(0, 1, 2, 3),
        drop_path_rate=0.3,
        pad_small_map=True,
    ),
    pixel_decoder=dict(in_channels=(96, 192, 384, 768)),
)
