"""Every fuzz target over its saved inputs, and over some that hypothesis makes of them: the same
each time. `ops/fuzz/run` looks for new ones."""

from collections.abc import Callable
from typing import ClassVar

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz import targets


@st.composite
def inputs(draw: st.DrawFn, target: str) -> bytes:
    """A saved input with some of it changed, or anything."""
    saved = [path.read_bytes() for path in targets.corpus(target)]
    data = draw(st.sampled_from(saved) | st.binary(max_size=200))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        until = min(len(data), at + draw(st.integers(0, 8)))
        middle = draw(st.binary(max_size=8) | st.just(data[at:until] * 2))
        data = data[:at] + middle + data[until:]
    return data


class Saved(SynchronousTestCase):
    def test_every_saved_input(self) -> None:
        for name, target in targets.TARGETS.items():
            saved = targets.corpus(name)
            self.assertGreater(len(saved), 5, name)
            for path in saved:
                with self.subTest(path.name):
                    target(path.read_bytes())


class MadeUp(SynchronousTestCase):
    EXAMPLES: ClassVar[dict[str, int]] = {
        "frames": 300, "deflate": 150, "handshake": 150, "http": 150
    }  # fmt: skip

    def search(self, name: str) -> None:
        target: Callable[[bytes], None] = targets.TARGETS[name]

        @settings(max_examples=self.EXAMPLES[name])
        @given(inputs(name))
        def run(data: bytes) -> None:
            target(data)

        run()

    def test_frames(self) -> None:
        self.search("frames")

    def test_deflate(self) -> None:
        self.search("deflate")

    def test_handshake(self) -> None:
        self.search("handshake")

    def test_http(self) -> None:
        self.search("http")
