"""What users give: images, words, regions, options."""
