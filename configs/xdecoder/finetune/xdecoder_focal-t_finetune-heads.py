# The paper's efficient fine-tuning: only class and mask embeddings learn, 1.05 of 164 M parameters. No gradient passes
# through backbone, pixel decoder, decoder layers or text encoder, so little memory is needed.
_base_ = './xdecoder_focal-t_finetune-panoptic.py'
trainable = ('decoder.class_embed', 'decoder.mask_embed.*')
