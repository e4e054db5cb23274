"""A Stable Diffusion inpainting pipeline of a few thousand random weights."""

from __future__ import annotations

from pathlib import Path

import torch


def save_inpainting_pipeline(folder: Path) -> Path:
    """Write the pipeline in diffusers' layout; needs diffusers and transformers."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            in_channels=9,  # latents, mask and masked latents
            out_channels=4,
            sample_size=8,
            layers_per_block=1,
            block_out_channels=(8, 16),
            down_block_types=('DownBlock2D', 'CrossAttnDownBlock2D'),
            up_block_types=('CrossAttnUpBlock2D', 'UpBlock2D'),
            cross_attention_dim=16,
            attention_head_dim=2,
            norm_num_groups=4,
        )
        vae = AutoencoderKL(
            sample_size=16,
            latent_channels=4,
            block_out_channels=(4, 8),
            down_block_types=('DownEncoderBlock2D', 'DownEncoderBlock2D'),
            up_block_types=('UpDecoderBlock2D', 'UpDecoderBlock2D'),
            norm_num_groups=4,
        )
        text_encoder = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(_WORDS),
                hidden_size=16,
                intermediate_size=16,
                num_attention_heads=2,
                num_hidden_layers=1,
                bos_token_id=0,
                eos_token_id=1,
            )
        )
    StableDiffusionInpaintPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=_tokenizer(),
        unet=unet,
        scheduler=DDIMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(str(folder))
    return folder


_WORDS = ['<|startoftext|>', '<|endoftext|>', *(chr(97 + index) for index in range(26))]
_WORDS += [f'{letter}</w>' for letter in _WORDS[2:]]


def _tokenizer():
    """CLIP's tokenizer with single letters for words, so that it needs no vocabulary file."""
    from transformers import CLIPTokenizer

    ids = {word: index for index, word in enumerate(_WORDS)}
    return CLIPTokenizer(vocab=ids, merges=[], model_max_length=77)
