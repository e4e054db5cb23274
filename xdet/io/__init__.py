"""Reading and writing of files that are not trusted; knows nothing of models."""
