"""The Triton model repository: one folder for each model, `shared` for the code that they have in common."""
