"""Words of a question to tables, columns, values and join paths of a schema, over an index that is kept."""
