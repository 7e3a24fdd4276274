"""Where schemas come from: the database itself, its values, statements, dbt, the semantic layer."""
