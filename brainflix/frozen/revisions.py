"""Which state of a model was used: names stay when weights change."""

from __future__ import annotations

import hashlib
from pathlib import Path

from brainflix.frozen import CLASSIFIERS, resolve

_HEAD = 2**20


def revision(name: str) -> str | None:
    """The commit of a model on the hub, or a hash of a local folder; None where neither is known.

    The hash is of the names, sizes and first MiB of all JSON and weight files: changed weights
    change it, and large ones cost no time.

    Args:
        name: of a model that has been loaded, see brainflix.frozen.
    """
    if name in CLASSIFIERS:
        return None  # its weights come with a package of a fixed version
    root = Path(resolve(name))
    return _hash(root) if root.is_dir() else _commit(name)


def _hash(folder: Path) -> str:
    found = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".json", ".safetensors", ".bin")):
        with path.open("rb") as file:
            head = file.read(_HEAD)
        found.update(f"{path.relative_to(folder).as_posix()} {path.stat().st_size}\n".encode())
        found.update(head)
    return found.hexdigest()[:16]


def _commit(name: str) -> str | None:
    from huggingface_hub.constants import HF_HUB_CACHE

    main = Path(HF_HUB_CACHE) / f"models--{name.replace('/', '--')}" / "refs" / "main"
    return main.read_text().strip() if main.is_file() else None
