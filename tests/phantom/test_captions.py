"""The grammar: it tells the four attributes, and the reader finds them again."""

import numpy as np
import pytest

from brainflix.phantom.captions import PARAPHRASES, caption, read_attributes, vocabulary
from brainflix.phantom.world import sample_scene


@pytest.mark.parametrize("paraphrase", range(PARAPHRASES))
def test_reading_a_caption_gives_back_the_attributes(paraphrase):
    rng = np.random.default_rng(paraphrase)
    for _ in range(100):
        scene = sample_scene(rng)
        words = caption(scene, paraphrase=paraphrase).split()
        told = {name: getattr(scene, name) for name in ("kind", "colour", "motion", "background")}
        assert read_attributes(" ".join(words)) == told
        assert len(set(words)) == len(words), "no word twice"
        assert 6 <= len(words) <= 14
        assert set(words) <= set(vocabulary())


def test_paraphrases_differ():
    scene = sample_scene(np.random.default_rng(0))
    assert len({caption(scene, paraphrase=p) for p in range(PARAPHRASES)}) == PARAPHRASES


def test_words_that_say_nothing_are_ignored():
    assert read_attributes("a Hoop, perhaps") == {"kind": "ring"}
    assert read_attributes("") == {}
