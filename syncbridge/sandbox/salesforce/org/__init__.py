"""What an org is made of: its objects and fields, where they are read from, and how the API describes them."""
