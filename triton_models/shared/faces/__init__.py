"""Clearer faces: the code behind the Triton model `face_restorer`."""
