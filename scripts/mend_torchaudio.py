"""Makes torchaudio importable beside a torch without CUDA: run it with the interpreter that has both.

torchaudio's wheels hold an extension that is linked against CUDA, and importing the package loads it. A package without
the extension works, as its authors foresee (`torchaudio._extension`): what pyannote.audio takes from it, resampling and
Kaldi's filter banks, is Python on torch. Beside a torch with CUDA nothing is changed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path


def main() -> None:
    """Removes the extension where it cannot be loaded."""
    import torch

    found = importlib.util.find_spec("torchaudio")
    if torch.version.cuda is None and found is not None and found.origin is not None:
        for library in (Path(found.origin).parent / "lib").glob("*.so"):
            library.unlink()


if __name__ == "__main__":
    main()
