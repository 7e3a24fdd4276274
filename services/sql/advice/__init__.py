"""What a statement costs by the plan of its database, and how it could cost less."""
