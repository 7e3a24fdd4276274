"""Who speaks when: the engine behind the `diarizer` model. It runs without a server; `engine.py` is its entrance."""
