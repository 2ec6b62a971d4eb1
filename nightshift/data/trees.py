"""Image files in folders, whatever holds them: a directory, a zip or a tar."""

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from nightshift.data.examples import Example, Rejected
from nightshift.data.layout import Layout, find_layout


class Tree(Protocol):
    """Files with relative paths, '/' between the parts; hidden ones left out."""

    def identity(self) -> str:
        """Hash of the content."""

    def names(self) -> Iterator[str]:
        """The paths of all regular files."""

    def size(self) -> int:
        """Bytes of the files, or of what holds them."""

    def files(self) -> Iterator[tuple[str, bytes] | Rejected]:
        """Paths and contents, and what is no regular file or too large."""


class DivisibleTree(Tree, Protocol):
    """A tree that can be read in parts."""

    def parts(self) -> Iterator[Any]:
        """What can be read apart: small, can be pickled; in the order of `files`."""

    def files_of(self, part: Any) -> Iterator[tuple[str, bytes] | Rejected]:
        """As `files`, of one part."""


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

    def size(self) -> int:
        """Bytes of the files, or of the archive."""
        return self._tree.size()

    def examples(self) -> Iterator[Example | Rejected]:
        """All images, placed by their folders.

        Raises:
            DataError: the folders make no sense, or the tree is damaged or too large.
        """
        yield from _examples(self._layout(), self._tree.files())

    def _layout(self) -> Layout:
        return find_layout(self._tree.names(), self._labelled, self._uri)


class DivisibleImageTree(ImageTree):
    """The examples of a tree that can be read in parts."""

    def __init__(self, tree: DivisibleTree, labelled: bool, uri: str) -> None:
        super().__init__(tree, labelled, uri)
        self._divisible = tree

    def parts(self) -> Iterator[tuple[Layout, Any]]:
        """Parts of the tree, each with the layout of all.

        Raises:
            DataError: as `examples`.
        """
        layout = self._layout()
        return ((layout, part) for part in self._divisible.parts())

    def examples_of(self, part: tuple[Layout, Any]) -> Iterator[Example | Rejected]:
        """The images of one part. Raises as `examples`."""
        layout, files = part
        return _examples(layout, self._divisible.files_of(files))


def _examples(layout: Layout, files: Iterable[tuple[str, bytes] | Rejected]) -> Iterator[Example | Rejected]:
    return (file if isinstance(file, Rejected) else _example(layout, *file) for file in files)


def _example(layout: Layout, name: str, contents: bytes) -> Example | Rejected:
    place = layout.place(name)
    if isinstance(place, Rejected):
        return place
    return Example(place.key, place.split, place.class_name, contents)
