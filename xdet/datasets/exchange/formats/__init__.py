"""One module per format of another tool: it reads files into an annotated set, and yields files of one."""
