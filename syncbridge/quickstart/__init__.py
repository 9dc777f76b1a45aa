"""The quickstart: Postgres, a local Salesforce and the worker together, with a small CRM-like data set."""
