"""The registered losses."""
