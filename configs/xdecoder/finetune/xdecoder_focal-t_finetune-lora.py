# Low-rank adapters on the linear layers of the decoder, with class and mask embeddings trained as they are; needs
# `pip install -e ".[lora]"`. tools/model_converters/merge_lora.py makes plain weights of the result.
_base_ = './xdecoder_focal-t_finetune-panoptic.py'
lora = dict(r=8, alpha=16.0, targets=('decoder.layers.*',))
trainable = ('decoder.class_embed', 'decoder.mask_embed.*')
