"""What comes out: results, tables, files."""
