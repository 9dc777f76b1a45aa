"""Reconciliation: a full comparison of both sides of a mapping, independent of events, and the repair of drift."""
