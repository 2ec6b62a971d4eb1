"""What the folders of a tree of images mean: splits, classes."""

from collections.abc import Iterable
from dataclasses import dataclass

from nightshift.data.examples import Rejected
from nightshift.data.limits import MAX_CLASSES
from nightshift.errors import DataError

SPLIT_FOLDERS = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "test": "test",
}
IMAGE_ENDINGS = (".jpg", ".jpeg", ".png")
IGNORED_NAMES = ("__MACOSX", "Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class Place:
    """Where an image belongs; `key` is its path below the common top folder."""

    key: str
    split: str
    class_name: str | None


@dataclass(frozen=True)
class Layout:
    """How a tree of images is arranged.

    Attributes:
        top: a folder around all others, or ''.
        splits: whether there are split folders; otherwise all is `train`.
        labelled: whether a folder is a class.
    """

    top: str
    splits: bool
    labelled: bool

    def place(self, name: str) -> Place | Rejected:
        """Split and class of a file by its relative path."""
        key = name.removeprefix(f"{self.top}/") if self.top else name
        if fault := fault_of_name(name):
            return Rejected(key, fault)
        folders = key.split("/")[:-1]
        split = "train"
        if self.splits:
            if not folders or folders[0].lower() not in SPLIT_FOLDERS:
                return Rejected(key, "lies in no split's folder")
            split = SPLIT_FOLDERS[folders.pop(0).lower()]
        if not self.labelled:
            return Place(key, split, None)
        if not folders:
            return Rejected(key, "lies in no class's folder")
        return Place(key, split, folders[0])


def find_layout(names: Iterable[str], labelled: bool, uri: str) -> Layout:
    """Read the arrangement off the paths of all files.

    {train,test,validation}/CLASS/IMAGE or CLASS/IMAGE, possibly inside one top folder; unlabelled images may lie
    anywhere below their split's folder.

    Raises:
        DataError: folders of splits and others side by side, or too many folders.
    """
    heads: set[tuple[str, ...]] = set()
    for name in names:
        if is_ignored(name) or fault_of_name(name):
            continue
        heads.add(tuple(name.split("/")[:-1][:2]))
        if len(heads) > 4 * MAX_CLASSES:
            raise DataError(f"{uri}: found more than {MAX_CLASSES} folders, expected one folder a class")
    one_class = labelled and all(len(head) == 1 for head in heads)  # nothing but CLASS/IMAGE: the folder is no top
    top = "" if one_class else _top_folder(heads)
    below = {head[1:] if top else head for head in heads}
    first = {head[0] for head in below if head}
    splits = {name for name in first if name.lower() in SPLIT_FOLDERS}
    if splits and first - splits:
        raise DataError(
            f"{uri}: found the folders {', '.join(sorted(first)[:20])}; "
            f"expected folders of splits ({', '.join(SPLIT_FOLDERS)}) or of classes, not both"
        )
    return Layout(top, bool(splits), labelled)


def is_ignored(name: str) -> bool:
    """Whether a path is one that file managers leave behind, or hidden."""
    parts = name.split("/")
    return any(part in IGNORED_NAMES or (part.startswith(".") and part not in (".", "..")) for part in parts)


def fault_of_name(name: str) -> str:
    """Why a path cannot be an image's, or ''."""
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or not name.isprintable():
        return "has an unsafe path"
    if not name.lower().endswith(IMAGE_ENDINGS):
        return f"is of another kind, expected {', '.join(IMAGE_ENDINGS)}"
    return ""


def _top_folder(heads: set[tuple[str, ...]]) -> str:
    first = {head[0] if head else "" for head in heads}
    if len(first) != 1:
        return ""
    (only,) = first
    return "" if only.lower() in SPLIT_FOLDERS else only
