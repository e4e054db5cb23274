"""Tokenizer, text encoders, and the cache of what they encoded, imported when they are asked for."""

from xdet.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        'cache': 'TextCache VocabularyEmbedder',
        'embedding_file': 'EmbeddingFileError',
        'open_clip_encoder': 'OpenCLIPTextEncoder',
        'stream': 'TextStream',
        'text_encoder': 'CausalTextEncoder TextFeatures XDecoderTextEncoder',
        'tokenizer': 'END_TOKEN START_TOKEN VOCAB_SIZE decode tokenize',
        'vocabulary': 'TEMPLATES clean_name random_prompts',
    },
)
