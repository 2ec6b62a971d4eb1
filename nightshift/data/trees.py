"""Image files in folders, whatever holds them: a directory, a zip or a tar."""

from collections.abc import Iterator
from typing import Protocol

from nightshift.data.examples import Example, Rejected
from nightshift.data.layout import Layout, find_layout


class Tree(Protocol):
    """Files with relative paths, '/' between the parts; hidden ones left out."""

    def identity(self) -> str:
        """Hash of the content."""

    def names(self) -> Iterator[str]:
        """The paths of all regular files."""

    def files(self) -> Iterator[tuple[str, bytes] | Rejected]:
        """Paths and contents, and what is no regular file or too large."""


class ImageTree:
    """The examples of a tree."""

    test_share = 0.1

    def __init__(self, tree: Tree, labelled: bool, uri: str) -> None:
        self._tree = tree
        self._labelled = labelled
        self._uri = uri

    def identity(self) -> str:
        """Hash of the content."""
        return self._tree.identity()

    def count(self) -> int:
        """How many files there are."""
        return sum(1 for _ in self._tree.names())

    def examples(self) -> Iterator[Example | Rejected]:
        """All images, placed by their folders.

        Raises:
            DataError: the folders make no sense, or the tree is damaged or too large.
        """
        layout = find_layout(self._tree.names(), self._labelled, self._uri)
        for file in self._tree.files():
            yield file if isinstance(file, Rejected) else _example(layout, *file)


def _example(layout: Layout, name: str, contents: bytes) -> Example | Rejected:
    place = layout.place(name)
    if isinstance(place, Rejected):
        return place
    return Example(place.key, place.split, place.class_name, contents)
