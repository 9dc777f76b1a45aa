"""The loops of a worker, a file a loop."""
