"""Which organisation databases belong to; two of them may have a database of the same id each.

What is there belongs to the organisation that the first start makes, and so does what processes of the version before
write meanwhile: they know of no other.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# What goes with a database, and what is unique or looked up in it.
CHILDREN = {
    "examples": ("one_example_each", ["database", "fingerprint"]),
    "verdicts": ("one_verdict_each", ["database", "fingerprint", "person"]),
    "queries": None,
}
INDEXES = {
    "examples": ("examples_by_time", ["database", "created", "id"]),
    "queries": ("queries_by_time", ["database", "person", "created", "id"]),
}
# PostgreSQL calls constraints so that have no name; on SQLite they get these for as long as this runs.
NAMES = {"fk": "%(table_name)s_%(column_0_name)s_fkey", "pk": "%(table_name)s_pkey"}


def upgrade() -> None:
    """Changes the tables.

    SQLite has to make them anew. Dropping `databases` would empty what refers to it, so nothing does meanwhile.
    """
    _refer_to_nothing()
    with op.batch_alter_table("databases", naming_convention=NAMES) as table:
        table.add_column(_organisation())
        table.drop_constraint("databases_pkey", type_="primary")
        table.create_primary_key("databases_pkey", ["organisation", "id"])
    for name, unique in CHILDREN.items():
        with op.batch_alter_table(name) as table:
            table.add_column(_organisation())
            if unique is not None:
                table.drop_constraint(unique[0], type_="unique")
                table.create_unique_constraint(unique[0], ["organisation", *unique[1]])
    for name, (index, columns) in INDEXES.items():
        op.drop_index(index, name)
        op.create_index(index, name, ["organisation", *columns])
    for name in CHILDREN:
        with op.batch_alter_table(name) as table:
            table.create_foreign_key(
                f"{name}_database_fkey", "databases", ["organisation", "database"], ["organisation", "id"],
                ondelete="CASCADE",
            )  # fmt: skip


def downgrade() -> None:
    """Takes it back; what is of other organisations than the first is lost."""
    _refer_to_nothing()
    for name, (index, columns) in INDEXES.items():
        op.drop_index(index, name)
        op.create_index(index, name, columns)
    for name in ("databases", *CHILDREN):
        table = sa.table(name, sa.column("organisation"))
        op.get_bind().execute(sa.delete(table).where(table.c.organisation != "default"))
    for name, unique in CHILDREN.items():
        with op.batch_alter_table(name) as batch:
            if unique is not None:
                batch.drop_constraint(unique[0], type_="unique")
                batch.create_unique_constraint(*unique)
            batch.drop_column("organisation")
    with op.batch_alter_table("databases", naming_convention=NAMES) as batch:
        batch.drop_constraint("databases_pkey", type_="primary")
        batch.create_primary_key("databases_pkey", ["id"])
        batch.drop_column("organisation")
    for name in CHILDREN:
        with op.batch_alter_table(name) as batch:
            batch.create_foreign_key(f"{name}_database_fkey", "databases", ["database"], ["id"], ondelete="CASCADE")


def _refer_to_nothing() -> None:
    """Lets what goes with databases stand alone."""
    for name in CHILDREN:
        with op.batch_alter_table(name, naming_convention=NAMES) as table:
            table.drop_constraint(f"{name}_database_fkey", type_="foreignkey")


def _organisation() -> sa.Column[str]:
    return sa.Column("organisation", sa.String(63), nullable=False, server_default="default")
