"""Mapping files against what is in force: what differs, what that means, and putting them in force."""
