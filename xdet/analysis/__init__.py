"""What the programs of tools/analysis_tools compute and draw."""
