"""A page for the browser over the same functions as everything else; ``xdet page`` opens it."""

import os

os.environ.setdefault('GRADIO_ANALYTICS_ENABLED', 'False')  # Gradio reads it when it is imported
os.environ.setdefault('HF_HUB_DISABLE_TELEMETRY', '1')
