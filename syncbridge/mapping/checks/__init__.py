"""`check`: a mapping file against the catalog and the describe of a destination. Pure."""
