"""SOQL: text to syntax tree (parser), calendar words to days (periods), syntax tree to SQL (sql)."""
