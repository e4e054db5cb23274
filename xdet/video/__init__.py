"""Films: frames in and out, and which segment of a frame is which of the frame before. Knows no model."""
