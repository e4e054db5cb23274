"""Runs over more images than one process should see: chunks of work, in this process or on Ray."""
