"""What each ci file renders, object by object: `python -m tests.deploy.golden` writes renders/<case>.txt anew.

The kustomize tree holds the defaults and the overlays in full; these lists show in a review what a change of the chart
adds to the rest, takes away or runs from another image.
"""

from __future__ import annotations

import pathlib

from tests.deploy.rendering import CASES, containers, hook, rendered, workloads

FOLDER = pathlib.Path(__file__).parent / "renders"


def listing(case: str) -> str:
    """A line for each object of a case, and one for each container below."""
    lines = []
    for item in rendered(CASES[case]):
        lines.append(f"{item['kind']}/{item['metadata']['name']}{' (hook)' * hook(item)}")
        if item in workloads([item]):
            lines += [f"    {container['name']}: {container['image']}" for container in containers(item)]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Writes the lists."""
    FOLDER.mkdir(exist_ok=True)
    for case in CASES:
        (FOLDER / f"{case}.txt").write_text(listing(case))


if __name__ == "__main__":
    main()
