"""A bundle: tables, scores, figures, configuration and provenance of a target in one zip that is an RO-Crate.

``ro-crate-metadata.json`` (RO-Crate 1.1, https://w3id.org/ro/crate/1.1) lists every file with its size and sha256, so
it is the bundle's inventory too: what it does not list, or lists otherwise, is refused by name. The same files make
the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from brainflix.atomic import replacing
from brainflix.errors import InputError

METADATA = "ro-crate-metadata.json"
SPECIFICATION = "https://w3id.org/ro/crate/1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
MOST_BYTES = 2**30  # of a file, and of all: tables and pictures are small
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that zip knows; contents alone shall tell bundles apart
_FORMATS = {".csv": "text/csv", ".tsv": "text/tab-separated-values", ".json": "application/json",
            ".yaml": "application/yaml", ".png": "image/png"}  # fmt: skip


def write(path: Path, files: Mapping[str, bytes], about: Mapping[str, Any]) -> None:
    """Write a bundle.

    Args:
        files: {name in the bundle: content}.
        about: as :func:`metadata` takes it.
    """
    members = {METADATA: _dump(metadata(files, about)), **dict(sorted(files.items()))}
    with replacing(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, date_time=_EPOCH)
            member.compress_type, member.external_attr, member.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
            archive.writestr(member, content, compresslevel=9)


def _dump(value: Any) -> bytes:
    return (json.dumps(value, indent=1) + "\n").encode()


def metadata(files: Mapping[str, bytes], about: Mapping[str, Any]) -> dict[str, Any]:
    """The RO-Crate of some files.

    Args:
        about: ``name``, ``description`` and ``licence`` in words; ``target``, the main file; ``began`` and ``ended``
            (seconds since 1970) and ``version`` of the run that made it; ``sources``: {home page: name} of datasets.
    """
    parts = [_file(name, content) for name, content in sorted(files.items())]
    sources = [{"@id": page, "@type": "Dataset", "name": name} for page, name in sorted(about["sources"].items())]
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": about["name"],
        "description": about["description"],
        "datePublished": _time(about["ended"]),
        "license": about["licence"],
        "conformsTo": {"@id": PROFILE},
        "hasPart": [{"@id": part["@id"]} for part in parts],
        "mainEntity": {"@id": about["target"]},
        "mentions": [{"@id": "#run"}],
    }
    run = {
        "@id": "#run",
        "@type": "CreateAction",
        "name": f"snakemake {about['target']}",
        "instrument": {"@id": "#brainflix"},
        "object": [{"@id": "config.yaml"}, *({"@id": source["@id"]} for source in sources)],
        "result": [{"@id": about["target"]}],
        "startTime": _time(about["began"]),
        "endTime": _time(about["ended"]),
    }
    software = {
        "@id": "#brainflix",
        "@type": "SoftwareApplication",
        "name": "brainflix",
        "softwareVersion": about["version"],
    }
    profile = {"@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"}
    descriptor = {
        "@id": METADATA,
        "@type": "CreativeWork",
        "conformsTo": {"@id": SPECIFICATION},
        "about": {"@id": "./"},
    }
    context = [f"{SPECIFICATION}/context", {"sha256": "https://schema.org/sha256"}]
    return {"@context": context, "@graph": [descriptor, root, run, software, profile, *sources, *parts]}


def _file(name: str, content: bytes) -> dict[str, str]:
    return {
        "@id": name,
        "@type": "File",
        "name": name,
        "contentSize": str(len(content)),
        "encodingFormat": _FORMATS[PurePosixPath(name).suffix],
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def read(path: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Files of a bundle, each as its inventory says it is, and the inventory's root entry.

    Raises:
        InputError: no bundle, or a file in it was changed, added, or is missing: which one.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(member.file_size for member in members) > MOST_BYTES:
                raise InputError.about(path, expected="a bundle of at most 1 GiB", found="more")
            files = {member.filename: archive.read(member) for member in members}
    except (OSError, zipfile.BadZipFile, zipfile.zlib.error, RuntimeError, NotImplementedError) as error:
        raise InputError.about(path, expected="a bundle (zip)", found=str(error)) from error
    if len(files) < len(members):
        raise InputError.about(path, expected="every file once", found="one twice")
    entities = _entities(path, files.pop(METADATA, b""))
    listed = {name: entity for name, entity in entities.items() if entity.get("@type") == "File"}
    for name in sorted(files.keys() | listed.keys()):
        _check(f"{path}: {name}", files.get(name), listed.get(name))
        _refuse_escape(path, name)
    return files, entities["./"]


def _entities(path: Path, content: bytes) -> dict[str, dict[str, Any]]:
    try:
        entities = {entity["@id"]: entity for entity in json.loads(content)["@graph"]}
        entities["./"]["mainEntity"]["@id"]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError.about(path, expected=f"an RO-Crate's {METADATA}", found=f"none ({error!r})") from error
    return entities


def _check(where: str, content: bytes | None, entity: Mapping[str, Any] | None) -> None:
    """A file is there, is listed, and is what is listed."""
    if content is None:
        raise InputError.about(where, expected="the file that is listed", found="none")
    if entity is None:
        raise InputError.about(where, expected="no file that is not listed", found="one")
    found = hashlib.sha256(content).hexdigest()
    if found != entity.get("sha256"):
        raise InputError.about(where, expected=f"sha256 {entity.get('sha256')}", found=found)


def _refuse_escape(path: Path, name: str) -> None:
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts or "\\" in name or name.endswith("/"):
        raise InputError.about(path, expected="names of files below one folder", found=repr(name))


def extract(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files of a bundle that :func:`read` let pass below a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
