"""The living nodes, as the directory named them last."""

from collections.abc import Callable

from apptuner_relay.cluster.ownership.directory import Directory, DirectoryUnreachable, NodeInfo


class LivingNodes:
    """One node's view of all nodes, itself included.

    :param directory: gives the directory, once there is one.
    :param on_ended: called when another node is no longer among them.
    """

    def __init__(self, directory: Callable[[], Directory], on_ended: Callable[[], None]) -> None:
        self.nodes: list[NodeInfo] = []
        self._directory = directory
        self._on_ended = on_ended
        self._draining: set[str] = set()

    @property
    def others(self) -> list[NodeInfo]:
        """The other nodes that take sessions."""
        own = self._directory().node
        return [node for node in self.nodes if not node.draining and node.node != own]

    def drains(self, node: str) -> bool:
        """Whether a node has said that it takes no new sessions, and was not seen without that
        since."""
        return node in self._draining

    def set_draining(self, node: str) -> None:
        """A node takes no new sessions."""
        self._draining.add(node)

    async def refresh(self) -> bool:
        """Ask the directory. Whether it has answered."""
        try:
            self.learn(await self._directory().nodes())
        except DirectoryUnreachable:
            return False
        return True

    def learn(self, nodes: list[NodeInfo]) -> None:
        """The directory names the living nodes."""
        before = {node.node for node in self.nodes}
        self.nodes = nodes
        if before - {node.node for node in self.nodes}:
            self._on_ended()
        self._draining &= {node.node for node in self.nodes if node.draining}
