"""Speech to text: recordings and live audio, recognised by models on Triton."""
