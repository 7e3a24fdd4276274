"""Runs the benchmarks: `python -m bench` all of them, `python -m bench chat sql` some.

One after another, each in a process of its own, so that none measures what another left behind.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys

BENCHMARKS = {
    "gateway": "a unary RPC through Envoy against a bare grpc.aio server",
    "stack": "time until everything is ready, memory of the idle stack",
    "resources": "what each component holds and uses, idle and at work, beside what the chart gives it",
    "certificates": "a call between services with certificates on both sides against plaintext",
    "identity": "may this request pass: in process and over gRPC, with few keys and with 100,000",
    "chat_guard": "chat completions with keys, limits and certificates against without; with 100,000 keys",
    "chat": "chat completions through the whole path against LiteLLM and FastAPI; time to first token",
    "providers": "aiohttp against the openai package, as a client of a model provider",
    "asr": "word error rate; the pipeline against the decoder alone; two workers; speakers; memory for 3 hours",
    "diarization": "who speaks when: error rate, number of speakers and speed beside a baseline",
    "live": "latency of live results, word error rate beside recordings, speakers, several streams at once",
    "gpu_asr": "Whisper large-v3 through Triton against a bare batched faster-whisper loop, where there is a GPU",
    "image": "pictures through the whole path against a bare diffusers pipeline; four at once; stopping",
    "spoken": "spoken questions that lead to the SQL of typed ones",
    "sql_examples": "execution accuracy with the questions of the same database as examples",
    "sql": "execution accuracy and latency of the embedded engine",
    "sql_vietnamese": "execution accuracy on own Vietnamese questions, without diacritics, and misspelt",
    "sql_prompt": "what a language model is told of a thousand tables: tokens and milliseconds",
}


def main() -> None:
    """Runs what the arguments name, or all. Exits with 1 when one failed, with 2 for an unknown name."""
    names = sys.argv[1:] or list(BENCHMARKS)
    unknown = [name for name in names if name not in BENCHMARKS]
    if unknown:
        sys.stderr.write(f"no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}\n")
        raise SystemExit(2)
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    failed = []
    for name in names:
        print(f"\n== {name}: {BENCHMARKS[name]}", flush=True)
        if subprocess.run([sys.executable, "-m", f"bench.{name}"], check=False).returncode != 0:
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
