"""`suggest`: the draft of a mapping file from both schemas. Pure."""
