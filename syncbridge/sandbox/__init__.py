"""Local servers for trying things out: a Salesforce that speaks the real API, and a Postgres to copy changes from."""
