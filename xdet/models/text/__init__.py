"""Tokenizer, text encoder and vocabulary embedder."""

from xdet.structures import TEMPLATES, clean_name

from .embedding_file import EmbeddingFileError
from .memory import TextMemory
from .open_clip_encoder import OpenCLIPTextEncoder
from .stream import TextStream
from .text_encoder import CausalTextEncoder, TextFeatures, XDecoderTextEncoder
from .tokenizer import END_TOKEN, START_TOKEN, VOCAB_SIZE, decode, tokenize
from .vocabulary import VocabularyEmbedder, random_prompts

__all__ = [
    'CausalTextEncoder',
    'END_TOKEN',
    'EmbeddingFileError',
    'OpenCLIPTextEncoder',
    'START_TOKEN',
    'TEMPLATES',
    'TextFeatures',
    'TextMemory',
    'TextStream',
    'VOCAB_SIZE',
    'VocabularyEmbedder',
    'XDecoderTextEncoder',
    'clean_name',
    'decode',
    'random_prompts',
    'tokenize',
]
