"""What syncbridge remembers, in one Postgres schema: checkpoint, outbox, links, sync log, mappings, runs.

Every statement takes arrays; none runs once per record. Progress never moves backward: the SQL itself says so.
"""
