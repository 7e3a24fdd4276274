"""What a backup costs over pg_dump alone, a restore over pg_restore alone, and whether memory grows with the dump.

    python -m bench.backup --url postgresql://…/EMPTY [--megabytes 400] [--rounds 3]

The database must be empty, and is so afterwards; in between it has rows of text of which pg_dump makes a fifth. The
backup dumps, reads the dump's contents back, encrypts, stores into a folder and reads that back; the restore fetches,
decrypts and restores. Printed are medians over the rounds, and the peak of this process's own memory.
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pyrage

from deploy.backup import postgres

ROW_BYTES = 2000
FILL = """
CREATE TABLE messages (id bigserial PRIMARY KEY, content text);
INSERT INTO messages (content)
SELECT (SELECT string_agg(md5((number * 1000 + word / 3)::text), ' ') FROM generate_series(1, 60) word)
FROM generate_series(1, {rows}) number;
CREATE INDEX ON messages (md5(content));
"""


def execute(url: str, statements: str) -> None:
    """Executes statements in one transaction."""
    with contextlib.closing(psycopg2.connect(url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statements)


def seconds(work: Callable[[], object]) -> float:
    """How long something takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def peak() -> float:
    """The most memory that this process had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measured(url: str, rounds: int, folder: Path) -> None:
    """Prints both ratios for what is in the database, which is empty afterwards."""
    identity = pyrage.x25519.Identity.generate()
    key, plain, store = folder / "key", folder / "plain", folder / "store"
    key.write_text(str(identity))
    dump = ["pg_dump", "--format=custom", f"--file={plain}", url]
    bare, whole = [], []
    for _round in range(rounds):
        bare.append(seconds(lambda: subprocess.run(dump, check=True)))
        recipients = [str(identity.to_public())]
        whole.append(seconds(lambda: postgres.backup("bench", url, str(store), recipients, keep=1)))  # noqa: B023 -- called at once
    size = plain.stat().st_size / 2**20
    print(f"a dump of {size:,.0f} MiB; peak memory of this process {peak():,.0f} MiB")
    report("backup over pg_dump", whole, bare)
    back = ["pg_restore", "--single-transaction", "--exit-on-error", f"--dbname={url}", str(plain)]
    bare, whole = [], []
    for _round in range(rounds):
        execute(url, "DROP TABLE messages")
        bare.append(seconds(lambda: subprocess.run(back, check=True)))
        execute(url, "DROP TABLE messages")
        whole.append(seconds(lambda: postgres.restore("bench", url, str(store), key)))
    report("restore over pg_restore", whole, bare)
    print(f"peak memory of this process {peak():,.0f} MiB")
    execute(url, "DROP TABLE messages")


def report(what: str, whole: list[float], bare: list[float]) -> None:
    """Prints a ratio with its two medians."""
    ours, theirs = statistics.median(whole), statistics.median(bare)
    print(f"{what}: {ours / theirs:.2f} ({ours:.1f} over {theirs:.1f} s)")


def main() -> None:
    """Measures a tenth of the size, then the size."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--url", required=True)
    parser.add_argument("--megabytes", type=int, default=400, help="of text in the table")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    for megabytes in (max(1, given.megabytes // 10), given.megabytes):
        print(f"\n{megabytes} MB of text")
        execute(given.url, FILL.format(rows=megabytes * 1_000_000 // ROW_BYTES))
        with tempfile.TemporaryDirectory() as folder:
            measured(given.url, given.rounds, Path(folder))


if __name__ == "__main__":
    main()
