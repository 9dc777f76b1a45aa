"""SOQL: text to tokens to syntax tree (parser); names, conditions and calendar words to SQL (sql); rows to records."""
