"""A model as machine learning backend of Label Studio, see docs/label_studio.md."""
