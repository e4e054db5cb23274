"""In which order samples are learned, and what happens to broken ones."""
