"""Pictures from text, pictures and edges: the code behind the Triton model `diffusion`."""
