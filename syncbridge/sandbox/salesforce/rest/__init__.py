"""The REST API, one file per area; every route is a function from a call to a reply."""
