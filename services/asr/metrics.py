"""What the asr service counts for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

WORKERS = Gauge("parley_asr_workers", "Transcriptions that this process can work on at the same time.")
RUNNING = Gauge("parley_asr_transcriptions_running", "Transcriptions that it works on.")
ATTEMPTS = Counter("parley_asr_transcription_attempts", "Attempts at a transcription, by how they ended.", ["outcome"])
AUDIO = Counter("parley_asr_audio_seconds", "Seconds of speech that were recognised.", ["model"])
SECONDS = Histogram(
    "parley_asr_segment_seconds",
    "Time to recognise a segment of speech, its wait for the model included.",
    ["model"],
    buckets=(0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120),
)
