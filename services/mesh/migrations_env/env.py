"""Alembic's environment, shared by all services: runs on the connection that services/mesh/database.py hands over."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # SQLite cannot alter most things in place; batch mode copies the table.
    render_as_batch=True,
    # The caller's transaction spans all revisions.
    transactional_ddl=False,
)
context.run_migrations()
