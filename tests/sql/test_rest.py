"""Exports and explanations through the real Envoy, as a person's curl sees them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import httpx

from deploy.local import sample_shop
from tests.conftest import free_port
from tests.gateway.conftest import envoy, identity_service, wait_for
from tests.sql.test_service import no_live_queries

Serve = Callable[..., AbstractAsyncContextManager[Any]]
SHOP = "/api/v1/databases/shop"
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {0}) SELECT i FROM n"


async def test_files_and_explanations_pass_the_gateway(serve: Serve, tmp_path: Path) -> None:
    sample_shop.build(tmp_path / "shop.sqlite")
    port = free_port()
    async with serve(max_rows_limit=3000, listen=f"127.0.0.1:{port}"):
        await asyncio.to_thread(through_the_gateway, tmp_path, port)
    await no_live_queries()


def through_the_gateway(folder: Path, port: int) -> None:
    with (
        identity_service(folder) as identity,
        envoy(folder, port, identity) as gateway,
        httpx.Client(base_url=gateway.url, headers=gateway.bearer, timeout=30) as client,
    ):
        wait_for(lambda: client.get("/healthz/sql").status_code == 200, 60, "sql")
        registered = client.post(
            "/api/v1/databases", params={"database_id": "shop"}, json={"url": "sqlite:///shop.sqlite"}
        )
        assert registered.status_code == 200, registered.text
        # More than one piece, and not one byte of JSON around them.
        file = client.post(f"{SHOP}:exportQuery", json={"sql": f"SELECT i, 'x' || i FROM ({COUNT.format(2900)})"})
        assert file.status_code == 200
        assert file.headers["content-type"] == "text/csv; charset=utf-8; header=present"
        assert file.headers["content-disposition"] == 'attachment; filename="shop.csv"'
        assert len(file.text.splitlines()) == 2901
        # A file that would not be whole is an error with its status, not a file that ends early.
        cut = client.post(f"{SHOP}:exportQuery", json={"sql": COUNT.format(4000)})
        assert (cut.status_code, cut.json()["details"][0]["reason"]) == (400, "ERROR_REASON_TOO_LARGE")
        explained = client.post(
            f"{SHOP}:explainQuery", json={"sql": "SELECT * FROM order_items", "measure": True}
        ).json()
        assert explained["scans"][0]["table"] == "order_items"
        hostile = client.post(f"{SHOP}:explainQuery", json={"sql": "DROP TABLE customers"})
        assert (hostile.status_code, hostile.json()["details"][0]["metadata"]["rule"]) == (400, "write")
