"""A local server that speaks Salesforce's REST API, to try mappings and to test against."""
