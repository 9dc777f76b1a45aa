"""Bulk API 1.0: jobs of batches, which the machinery of Bulk API 2.0 does; each batch is a job of its own there."""
