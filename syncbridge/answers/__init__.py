"""What a person asks: how everything stands, what needs somebody, what became of a record, whether all is through."""
