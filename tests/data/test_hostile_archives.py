"""What comes from outside and is not as it should be: a clear error or a quarantined image, and nothing left."""

import dataclasses
import gzip
import io
import stat
import struct
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nightshift.data.prepare import prepare
from nightshift.errors import DataError


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def colours(size: tuple[int, int] = (20, 20)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(5).integers(0, 256, (size[1], size[0], 3), np.uint8))


def png_that_claims(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


JPEG = saved(colours(), "JPEG")
PNG = saved(colours(), "PNG")
DEEP = saved(Image.fromarray(np.arange(400, dtype=np.uint16).reshape(20, 20)), "PNG")
ANIMATED = saved(colours(), "PNG", save_all=True, append_images=[colours((20, 20)).rotate(90)])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (JPEG[: len(JPEG) // 2], "damaged"),
        (JPEG[:-2], "damaged or cut short"),
        (PNG[: len(PNG) // 2], "damaged or cut short"),
        (b"", "neither a JPEG nor a PNG"),
        (b"plain text", "neither a JPEG nor a PNG"),
        (saved(colours(), "GIF"), "neither a JPEG nor a PNG"),
        (saved(colours().convert("CMYK"), "JPEG"), "CMYK"),
        (DEEP, "16 bits a channel"),
        (ANIMATED, "animated"),
        (png_that_claims(8000, 8000), "8000x8000 pixels, expected at most 50000000"),
        (png_that_claims(60000, 60000), "more than 50000000 pixels"),
    ],
)
def test_an_image_that_cannot_be_used_is_quarantined(task, workspace, tmp_path, pictures, write_zip, content, reason):
    pictures["train/cats/bad.jpg"] = content
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    quarantined = dataset.manifest.quarantined
    assert quarantined.count == 1
    assert quarantined.examples[0].key == "train/cats/bad.jpg"
    assert reason in quarantined.examples[0].reason
    assert sum(split.count for split in dataset.manifest.splits.values()) == 50


@pytest.mark.parametrize(
    "image", [PNG, JPEG, saved(colours().convert("L"), "PNG"), saved(colours().convert("P"), "PNG")]
)
def test_usual_kinds_of_image_are_taken(task, workspace, tmp_path, pictures, write_zip, image):
    pictures["train/cats/more.png"] = image
    dataset = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    assert dataset.manifest.quarantined.count == 0


@pytest.mark.parametrize("size", [(1, 1), (7, 40), (40, 7)])
def test_an_image_that_cropping_would_enlarge_is_quarantined(task, workspace, tmp_path, picture, write_zip, size):
    cropped = dataclasses.replace(task, fit="crop", labelled=False)
    pictures = {f"{number}.png": picture(number, (8, 9)) for number in range(30)}
    pictures["small.png"] = picture(99, size)
    dataset = prepare(cropped, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    assert [(item.key, item.reason) for item in dataset.manifest.quarantined.examples] == [
        ("small.png", f"has {size[0]}x{size[1]} pixels, expected at least 8x8")
    ]


def test_small_arrays_are_quarantined_where_they_would_be_cropped(task, workspace, tmp_path):
    pixels = np.zeros((20, 7, 40, 3), np.uint8)
    np.savez(tmp_path / "data.npz", x_train=pixels, x_test=pixels)
    cropped = dataclasses.replace(task, fit="crop", labelled=False)
    with pytest.raises(DataError, match=r"40 of 40 images .* has 40x7 pixels, expected at least 8x8"):
        prepare(cropped, str(tmp_path / "data.npz"), workspace)


def test_small_images_are_stretched_where_the_task_says_so(task, workspace, tmp_path, pictures, picture, write_zip):
    pictures["train/cats/small.png"] = picture(99, (3, 1))
    dataset = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    assert dataset.manifest.quarantined.count == 0


def test_more_than_half_unusable_is_an_error(task, workspace, tmp_path, pictures, write_zip, leftovers):
    broken = {name: b"no" if number % 3 else image for number, (name, image) in enumerate(pictures.items())}
    with pytest.raises(DataError, match=r"33 of 50 images cannot be used"):
        prepare(task, str(write_zip(tmp_path / "data.zip", broken)), workspace)
    assert leftovers(workspace) == []


@pytest.mark.parametrize("name", ["../../evil.png", "/evil.png", "train/cats/../../../evil.png", "train\\cats\\e.png"])
def test_unsafe_names_in_an_archive_are_quarantined_and_never_written(
    task, workspace, tmp_path, pictures, write_zip, picture, name
):
    before = set(tmp_path.rglob("*"))
    archive = write_zip(tmp_path / "data.zip", pictures | {name: picture(99)})
    dataset = prepare(task, str(archive), workspace)
    assert "unsafe path" in dataset.manifest.quarantined.examples[0].reason
    new = {path for path in tmp_path.rglob("*") if workspace.root not in path.parents} - before
    assert new == {archive, workspace.root}
    assert not (tmp_path.parent / "evil.png").exists()


def test_links_are_quarantined(task, workspace, tmp_path, pictures, write_zip, write_tree, leftovers):
    archive = write_zip(tmp_path / "data.zip", pictures)
    with zipfile.ZipFile(archive, "a") as file:
        link = zipfile.ZipInfo("train/cats/link.png")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        file.writestr(link, "/etc/passwd")
    with tarfile.open(tmp_path / "data.tar", "w") as tar:
        tar.add(write_tree(tmp_path / "tree", pictures), "top")
        member = tarfile.TarInfo("top/train/cats/link.png")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(member)
    (tmp_path / "tree/train/cats/link.png").symlink_to("/etc/passwd")
    for source in ("data.zip", "data.tar", "tree"):
        quarantined = prepare(task, str(tmp_path / source), workspace).manifest.quarantined
        assert [item.reason for item in quarantined.examples] == ["is a link or no regular file"], source


@pytest.mark.parametrize("ending", ["zip", "tar", "tar.gz"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_an_error(
    task, workspace, tmp_path, pictures, write_tree, write_zip, leftovers, ending, share
):
    path = tmp_path / f"data.{ending}"
    if ending == "zip":
        write_zip(path, pictures)
    else:
        with tarfile.open(path, "w:gz" if ending == "tar.gz" else "w") as tar:
            tar.add(write_tree(tmp_path / "tree", pictures), "")
    content = path.read_bytes().rstrip(b"\0") if ending == "tar" else path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"damaged or cut short"):
        prepare(task, str(path), workspace)
    assert leftovers(workspace) == []


def test_a_tar_cut_between_two_members_is_an_error(task, workspace, tmp_path, pictures, write_tree):
    path = tmp_path / "data.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(write_tree(tmp_path / "tree", pictures), "")
    with tarfile.open(path) as tar:
        boundary = tar.getmembers()[-1].offset
    path.write_bytes(path.read_bytes()[:boundary])
    with pytest.raises(DataError, match="no end marker"):
        prepare(task, str(path), workspace)


@pytest.mark.parametrize("where", [0.2, 0.5, 0.999])
def test_a_damaged_byte_in_a_compressed_tar_is_an_error(task, workspace, tmp_path, pictures, write_tree, where):
    path = tmp_path / "data.tgz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(write_tree(tmp_path / "tree", pictures), "")
    content = bytearray(path.read_bytes())
    content[int(len(content) * where)] ^= 255
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged or cut short"):
        prepare(task, str(path), workspace)


def test_a_zip_that_declares_far_more_than_it_has_is_refused(task, workspace, tmp_path, leftovers):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(3):
            archive.writestr(f"train/cats/{number}.png", bytes(40 * 2**20))
    with pytest.raises(DataError, match="declares 125829120 bytes in 3 files"):
        prepare(task, str(path), workspace)
    assert leftovers(workspace) == []


def test_a_tar_whose_header_declares_too_much_is_refused_before_it_is_read(task, workspace, tmp_path, leftovers):
    header = tarfile.TarInfo("header")
    header.type, header.size = tarfile.XHDTYPE, 10 * 2**30
    path = tmp_path / "bomb.tar.gz"
    with gzip.open(path, "wb") as file:
        file.write(header.tobuf(tarfile.GNU_FORMAT))
        file.write(bytes(2**20))
    with pytest.raises(DataError, match="a header declares 10737418240 bytes"):
        prepare(task, str(path), workspace)
    assert leftovers(workspace) == []


def test_an_oversized_member_is_quarantined_unread(task, workspace, tmp_path, pictures, write_zip, monkeypatch):
    monkeypatch.setattr("nightshift.data.archives.MAX_ENCODED_BYTES", 1000)
    pictures["train/cats/large.png"] = bytes(1001)
    dataset = prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace)
    assert dataset.manifest.quarantined.examples[0].reason == "has 1001 bytes, expected at most 1000"


def test_two_members_of_one_name_are_an_error(task, workspace, tmp_path, pictures, write_zip):
    path = write_zip(tmp_path / "data.zip", pictures)
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("train/cats/1.png", PNG)
    with pytest.raises(DataError, match=r"two images have the name train/cats/1\.png"):
        prepare(task, str(path), workspace)


def test_splits_beside_class_folders_are_ambiguous(task, workspace, tmp_path, pictures, write_zip):
    pictures["birds/1.png"] = PNG
    with pytest.raises(DataError, match="found the folders birds, test, train; expected"):
        prepare(task, str(write_zip(tmp_path / "data.zip", pictures)), workspace)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "nowhere: no such file or folder"),
        ("bundled:cats", "there are mnist-5k, photographs"),
        ("original:cats", "there are mnist, fashion_mnist, cifar10"),
        ("http://example.com/data.zip", "expected https"),
        ("HTTP://example.com/data.zip", "expected https"),
        ("s3://bucket/data.zip", r"the scheme 's3' is not supported; expected bundled:, original:, https://, gs:// or"),
        ("s3://bucket/" + 300 * "x", "the scheme 's3' is not supported"),
        ("ftp://host/data.zip", "the scheme 'ftp' is not supported"),
        ("bundeld:mnist-5k", "the scheme 'bundeld' is not supported"),
        (r"C:\data\cats", "no such file or folder"),
        ("./cats:dogs", "no such file or folder"),
    ],
)
def test_a_source_that_is_not_there_is_named(task, workspace, source, message, leftovers):
    with pytest.raises(DataError, match=message):
        prepare(task, source, workspace)
    assert leftovers(workspace) == []


@pytest.mark.parametrize("name", ["cats:dogs", "s3:pets", "C:", "12:30"])
def test_a_local_path_may_have_a_colon(task, workspace, tmp_path, pictures, write_tree, monkeypatch, name):
    write_tree(tmp_path / name, pictures)
    monkeypatch.chdir(tmp_path)
    assert prepare(task, name, workspace).manifest.splits["test"].count == 10


@pytest.mark.parametrize("source", ["bundled:photographs", "folder", "arrays.npz"])
def test_a_labelled_task_needs_classes(task, workspace, tmp_path, picture, write_tree, leftovers, source):
    write_tree(tmp_path / "folder", {f"{number}.png": picture(number) for number in range(4)})
    pixels = np.zeros((4, 8, 8), np.uint8)
    np.savez(tmp_path / "arrays.npz", x_train=pixels, x_test=pixels)
    message = {
        "bundled:photographs": "bundled:photographs: the images have no classes, expected one for each: task 'digits'",
        "folder": "4 of 4 images cannot be used.* lies in no class's folder",
        "arrays.npz": "y_train: no such array",
    }
    with pytest.raises(DataError, match=message[source]):
        prepare(task, source if ":" in source else str(tmp_path / source), workspace)
    assert leftovers(workspace) == []


@pytest.mark.parametrize("source", ["data.zip", "data.tar", "data.npz", "folder"])
def test_a_source_that_cannot_be_read_is_named(task, workspace, tmp_path, pictures, write_tree, monkeypatch, source):
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    for module in ("archives", "arrays", "folders"):
        monkeypatch.setattr(f"nightshift.data.{module}.sha256_of", refuse)
    write_tree(tmp_path / "folder", pictures) if source == "folder" else (tmp_path / source).touch()
    with pytest.raises(DataError, match=rf"{source}: cannot be read \(.*Permission denied"):
        prepare(task, str(tmp_path / source), workspace)


def test_an_empty_folder_and_an_unknown_kind_are_errors(task, workspace, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="found no images"):
        prepare(task, str(tmp_path / "empty"), workspace)
    (tmp_path / "data.rar").touch()
    with pytest.raises(DataError, match="unknown kind"):
        prepare(task, str(tmp_path / "data.rar"), workspace)
