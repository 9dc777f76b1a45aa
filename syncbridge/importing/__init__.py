"""Configurations of other products, made into mapping files. Pure."""
