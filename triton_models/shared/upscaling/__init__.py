"""Larger pictures: the code behind the Triton model `upscaler`."""
