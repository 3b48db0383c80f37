"""`DownloadCounter`: what clients get over HTTP of the bundles that are cached."""

from collections import Counter


class DownloadCounter:
    """Counts since the start. Codings are content codings, ``identity`` among them."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        """Answers of which the client got all, by coding."""
        self.saved_bytes: Counter[str] = Counter()
        """By how much those that had the whole bundle were smaller than its code, by coding."""
        self.unchanged = 0
        """Answers that the client has the bundle already."""
        self.aborted = 0
        """Answers of which the client did not get all."""

    def count_sent(self, coding: str, saved_bytes: int) -> None:
        """A client has got all of an answer.

        :param saved_bytes: by how much it was smaller than the code; 0 for a part of a bundle.
        """
        self.sent[coding] += 1
        self.saved_bytes[coding] += max(0, saved_bytes)
