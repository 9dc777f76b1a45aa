"""Mapping files: read, compiled to SQL, checked against both sides. Pure: no database, no destination, no clock."""
