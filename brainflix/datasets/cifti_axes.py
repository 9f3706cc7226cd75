"""The axes of a CIFTI-2 matrix, from the XML between its header and its data.

Dimension 0 counts volumes or maps, dimension 1 grayordinates. Every dataset here must start with the same
59,412 cortical grayordinates in the same order; what follows (subcortex) is only counted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from brainflix import atlas

STANDARD_CORTEX = (
    ("LEFT", 0, atlas.LEFT_CORTEX),
    ("RIGHT", atlas.LEFT_CORTEX, atlas.CORTEX - atlas.LEFT_CORTEX),
)


@dataclass(frozen=True)
class Axes:
    """Length of the second axis of a matrix, and the step of its first where that is a time."""

    grayordinates: int
    step_seconds: float | None


def parse_axes(xml: bytes) -> Axes | str:
    """The axes, or what is wrong with them in words."""
    # All but a few hundred bytes list the grayordinates, the same in every file of a study, while the rest (where
    # a file came from) is its own. Apart, the long part is parsed once.
    start, stop = xml.find(b"<BrainModel"), xml.rfind(b"</BrainModel>") + len(b"</BrainModel>")
    try:
        root = ElementTree.fromstring(xml[:start] + xml[stop:] if 0 <= start < stop else xml)
        if not root.get("Version", "").startswith("2"):
            return f"CIFTI version {root.get('Version', 'unknown')}"
        by_dimension = {m.get("AppliesToMatrixDimension"): m for m in root.iter("MatrixIndicesMap")}
        if set(by_dimension) != {"0", "1"}:
            return f"axes for dimensions {sorted(map(str, by_dimension))}"
        grayordinates = _grayordinates(xml[start:stop])
        step = _step_seconds(by_dimension["0"])
    except (ElementTree.ParseError, ValueError, OverflowError) as error:  # text, or too much, for a number
        return f"damaged XML ({error})"
    return grayordinates if isinstance(grayordinates, str) else Axes(grayordinates, step)


def _grayordinates(models: bytes) -> int | str:
    """Number of grayordinates of the <BrainModel> elements, or what is wrong with them."""
    # Not a dictionary: to compare 600 kB takes a twentieth of the time that it takes to hash them.
    answer = next((answer for known, answer in tuple(_ANSWERS) if known == models), None)
    if answer is None:
        found = ElementTree.fromstring(b"<All>" + models + b"</All>").findall("BrainModel")
        answer = _cortex_problem(found) or sum(int(m.get("IndexCount", 0)) for m in found)
        _ANSWERS.appendleft((models, answer))
    return answer


_ANSWERS: deque[tuple[bytes, int | str]] = deque(maxlen=4)


def _cortex_problem(models: list[ElementTree.Element]) -> str | None:
    """What keeps the brain models from starting with the standard left and right cortex, if anything."""
    for i, (side, offset, count) in enumerate(STANDARD_CORTEX):
        model = models[i].attrib if i < len(models) else {}
        structure = model.get("BrainStructure", "nothing").removeprefix("CIFTI_STRUCTURE_")
        if structure != f"CORTEX_{side}":
            return f"{structure} in place {i + 1} where CORTEX_{side} belongs"
        if (model.get("IndexOffset"), model.get("IndexCount")) != (str(offset), str(count)):
            return f"{model.get('IndexCount')} vertices of CORTEX_{side}, not {count}"
        vertices = np.array((models[i].findtext("VertexIndices") or "").split(), dtype=np.int64)
        if atlas.sha256(vertices) != atlas.CORTEX_SHA256[i]:
            return f"vertices of CORTEX_{side} in another order"
    return None


def _step_seconds(axis: ElementTree.Element) -> float | None:
    if axis.get("SeriesUnit") != "SECOND":
        return None
    return float(axis.get("SeriesStep", "nan")) * 10.0 ** int(axis.get("SeriesExponent", "0"))
