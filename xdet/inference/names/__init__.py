"""What names mean to a model: learned names, those it knows, those it confuses, and when one is not there."""
