"""Bulk API 2.0: jobs that a client describes, fills and asks about, and a thread that does them."""
