"""Bulk API 2.0: jobs that carry a hundred thousand records as one CSV file."""
