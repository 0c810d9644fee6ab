"""Every generated blob of the demo registry has the digest that is declared for it: some 30 GB are hashed, in minutes.

Not among the tests for its length; run it by name after changing a stream.
"""

from __future__ import annotations

import hashlib

import pytest

from backend.demo.catalogue_layers import LARGE
from backend.demo.images_streams import Stream


@pytest.mark.parametrize("stream", LARGE, ids=lambda each: each.path)
def test_the_declared_digest_is_true(stream: Stream) -> None:
    sum_of = hashlib.sha256()
    for piece in stream.read(0, stream.size):
        sum_of.update(piece)
    assert "sha256:" + sum_of.hexdigest() == stream.digest
