"""Tokenizer, text encoder and vocabulary embedder, imported when they are asked for."""

from xdet.lazy import lazy_exports

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        'embedding_file': 'EmbeddingFileError',
        'memory': 'TextMemory',
        'open_clip_encoder': 'OpenCLIPTextEncoder',
        'stream': 'TextStream',
        'text_encoder': 'CausalTextEncoder TextFeatures XDecoderTextEncoder',
        'tokenizer': 'END_TOKEN START_TOKEN VOCAB_SIZE decode tokenize',
        'vocabulary': 'TEMPLATES VocabularyEmbedder clean_name random_prompts',
    },
)
