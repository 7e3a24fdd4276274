"""What the image service counts for Prometheus."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

RUNNING = Gauge("parley_image_jobs_running", "Jobs that are being drawn.")
WAITING = Gauge("parley_image_jobs_waiting", "Jobs that wait for their turn.")
WAITED = Histogram(
    "parley_image_wait_seconds", "Time until a job's turn.", buckets=(0.01, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 1800)
)
STEPS = Counter("parley_image_steps", "Steps that models made, for however many pictures at once.", ["model"])
PICTURES = Counter("parley_image_pictures", "Pictures that were drawn.", ["model"])
JOBS = Histogram(
    "parley_image_job_seconds",
    "Time from a job's turn until it ended.",
    ["state"],
    buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 900, 3600),
)
