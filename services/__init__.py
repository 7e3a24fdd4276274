"""The services: one package each, and mesh, the chassis that they share."""
