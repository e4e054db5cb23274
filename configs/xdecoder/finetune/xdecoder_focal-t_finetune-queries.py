# The paper's other efficient fine-tuning: only the query embeddings learn, 0.1 of 164 M parameters. Gradients pass
# through the decoder to reach them.
_base_ = './xdecoder_focal-t_finetune-panoptic.py'
trainable = ('decoder.query_feat', 'decoder.query_embed')
