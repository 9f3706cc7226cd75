"""The grammar that describes scenes in words, and the reader that inverts it.

A caption names kind, colour, motion and background and repeats no word, not even an article: the captioner
decodes with a repetition penalty that punishes every repeated word. Six sentence patterns, each with plain
words and with synonyms, make twelve paraphrases.

>>> import numpy as np
>>> from brainflix.phantom.world import sample_scene
>>> scene = sample_scene(np.random.default_rng(0))
>>> caption(scene, paraphrase=0)
'one yellow cross is bobbing over tiles'
>>> read_attributes(caption(scene, paraphrase=9))["colour"]
'yellow'
"""

from __future__ import annotations

import re

from brainflix.phantom.world import Scene

_WORDS = {  # attribute -> value -> (plain word, synonym)
    "kind": {
        "ball": ("ball", "sphere"),
        "box": ("box", "cube"),
        "cone": ("cone", "triangle"),
        "star": ("star", "pentagram"),
        "ring": ("ring", "hoop"),
        "cross": ("cross", "plus"),
    },
    "colour": {
        "red": ("red", "crimson"),
        "green": ("green", "emerald"),
        "blue": ("blue", "azure"),
        "yellow": ("yellow", "golden"),
        "purple": ("purple", "violet"),
        "white": ("white", "ivory"),
    },
    "motion": {
        "resting": ("resting", "motionless"),
        "sliding": ("sliding", "gliding"),
        "bobbing": ("bobbing", "bouncing"),
        "circling": ("circling", "orbiting"),
        "pulsing": ("pulsing", "throbbing"),
    },
    "background": {
        "stripes": ("stripes", "bands"),
        "tiles": ("tiles", "checks"),
        "dots": ("dots", "spots"),
        "waves": ("waves", "ripples"),
        "bricks": ("bricks", "masonry"),
        "mist": ("mist", "fog"),
    },
}
_PATTERNS = (
    "one {colour} {kind} is {motion} over {background}",
    "the {kind} looks {colour} and stays {motion} before {background}",
    "{motion} in front of {background} we see some {colour} {kind}",
    "this video shows the {colour} {kind} {motion} on {background}",
    "against {background} there appears one {motion} {colour} {kind}",
    "{colour} {kind} {motion} above the {background} all time",
)
_READ = {
    word: (attribute, value)
    for attribute, values in _WORDS.items()
    for value, words in values.items()
    for word in words
}
PARAPHRASES: int = 2 * len(_PATTERNS)


def caption(scene: Scene, *, paraphrase: int) -> str:
    """Describe a scene in 7 to 10 lower-case words, none of them twice.

    Args:
        paraphrase: 0..PARAPHRASES - 1; the first half uses plain words, the second half synonyms.
    """
    synonym, pattern = divmod(paraphrase, len(_PATTERNS))
    words = {name: _WORDS[name][getattr(scene, name)][synonym] for name in _WORDS}
    return _PATTERNS[pattern].format(**words)


def read_attributes(caption: str) -> dict[str, str]:
    """What a caption says: its first word for each of kind, colour, motion and background; absent if none."""
    found: dict[str, str] = {}
    for word in re.findall("[a-z]+", caption.lower()):
        if word in _READ:
            attribute, value = _READ[word]
            found.setdefault(attribute, value)
    return found


def vocabulary() -> tuple[str, ...]:
    """Every word a caption can contain, sorted."""
    frame = re.findall("[a-z]+", re.sub(r"\{\w+\}", " ", " ".join(_PATTERNS)))
    return tuple(sorted({*frame, *_READ}))
