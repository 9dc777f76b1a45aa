"""Values of Postgres types and what remote fields take: what fits, and how a value goes there and back. Pure."""
