"""Words: English and Vietnamese, names, tokens, the words that steer a query. Knows no database."""
