import numpy as np
import torch

from brainflix.phantom.training import stream
from brainflix.phantom.training.unet import objects


def test_objects_covers_the_cells_that_a_bounding_box_touches():
    places = np.array([[[0.5, 0.25, 0.5], [0.125, 0.5, 0.2]]])  # one clip, two frames of x, y and size
    wide, small = objects(places, cells=4)[0, 0]
    assert wide.tolist() == [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    assert small.nonzero().tolist() == [[1, 0], [2, 0]]


def test_objects_covers_what_moves():
    """Pixels that change between frames belong to the object, before or after it moved."""
    drawn = stream.clips(seed=0, purpose=stream.VALIDATION, step=3, batch=12)
    mask = objects(drawn.places, cells=8).bool()[:, 0]
    covered = np.kron(mask.numpy(), np.ones((8, 8), bool))
    changed = (np.abs(np.diff(drawn.videos.astype(int), axis=1)) > 64).any(-1)  # more than worn chroma does
    assert changed.any()
    assert not (changed & ~covered[:, 1:] & ~covered[:, :-1]).any()
    assert torch.all(mask.float().mean((1, 2, 3)) < 0.6)
