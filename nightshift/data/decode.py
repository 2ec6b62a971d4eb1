"""The one way from an encoded image to the uint8 pixels a network sees, in preparation and in serving alike.

JPEG is decoded without fancy upscaling: interpolated chroma crosses the seams between the tiles of a puzzle and
gives its answer away. Transparency is dropped and an EXIF orientation is not applied.
"""

from typing import Literal

import tensorflow as tf

from nightshift.data.limits import MAX_PIXELS

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
PNG_HEADER_BYTES = 33

Fit = Literal["stretch", "crop", "reduce"]


def decode_image(contents: tf.Tensor, image_shape: tuple[int, int, int], fit: Fit) -> tf.Tensor:
    """Decode one image and bring it to a shape; works eagerly and in a graph.

    Args:
        contents: string scalar, a JPEG or a PNG of at most MAX_PIXELS and 8 bits a channel.
        image_shape: (height, width, channels), channels 1 or 3.
        fit: see `fit_image`.

    Returns:
        uint8 [height, width, channels].

    Raises:
        tf.errors.InvalidArgumentError: the content is something else, damaged, cut short or too large.
    """
    return fit_image(decode_pixels(contents, image_shape[2]), image_shape, fit)


def decode_pixels(contents: tf.Tensor, channels: int) -> tf.Tensor:
    """Decode one JPEG or PNG in its own size: uint8 [any, any, channels]. Raises as `decode_image` does."""
    with tf.control_dependencies(_assert_decodable(contents)):
        contents = tf.identity(contents)
    # This op reads both kinds; the options of JPEG do not touch PNG.
    pixels = tf.io.decode_jpeg(contents, channels=channels, fancy_upscaling=False, dct_method="INTEGER_ACCURATE")
    return tf.ensure_shape(pixels, [None, None, channels])


def fit_image(image: tf.Tensor, image_shape: tuple[int, int, int], fit: Fit) -> tf.Tensor:
    """Bring pixels to a height and width; an image that has them passes unchanged, bit for bit.

    Args:
        image: uint8 [any, any, channels].
        image_shape: (height, width, channels).
        fit: `stretch` resizes; `crop` takes the central part of the right aspect first; `reduce` averages whole blocks.

    Returns:
        uint8 [height, width, channels], resized bilinearly with antialiasing and rounded.
    """
    height, width, channels = image_shape
    size = tf.shape(image)
    same = tf.logical_and(tf.equal(size[0], height), tf.equal(size[1], width))
    fitted = tf.cond(same, lambda: image, lambda: _resize(image, height, width, fit))
    return tf.ensure_shape(fitted, [height, width, channels])


def _resize(image: tf.Tensor, height: int, width: int, fit: Fit) -> tf.Tensor:
    if fit == "reduce":
        factor = tf.minimum(tf.shape(image)[0] // height, tf.shape(image)[1] // width)
        return tf.cond(
            factor > 0, lambda: _reduced(image, height, width, factor), lambda: _cropped(image, height, width)
        )
    return _cropped(image, height, width) if fit == "crop" else _resampled(image, height, width)


def _cropped(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    return _resampled(_central_part(image, height, width), height, width)


def _resampled(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    resized = tf.image.resize(image, (height, width), antialias=True)
    return tf.cast(tf.clip_by_value(tf.round(resized), 0, 255), tf.uint8)


def _reduced(image: tf.Tensor, height: int, width: int, factor: tf.Tensor) -> tf.Tensor:
    """The means of the blocks of factor x factor pixels in the middle of an image.

    The middle part begins at an even row and column. A JPEG mostly has one colour for 2x2 pixels; so no two tiles of an
    even size share one, which would tell that they belong together.
    """
    size = tf.stack([height, width]) * factor
    top, left = tf.unstack((tf.shape(image)[:2] - size) // 2 // 2 * 2)
    part = image[top : top + height * factor, left : left + width * factor]
    means = tf.image.resize(part, (height, width), method="area")
    return tf.cast(tf.round(means), tf.uint8)


def _central_part(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """The largest central part of the aspect height : width."""
    size = tf.cast(tf.shape(image), tf.int64)
    rows = tf.minimum(size[0], tf.maximum(size[1] * height // width, 1))
    columns = tf.minimum(size[1], tf.maximum(size[0] * width // height, 1))
    top, left = (size[0] - rows) // 2, (size[1] - columns) // 2
    return image[top : top + rows, left : left + columns]


def _assert_decodable(contents: tf.Tensor) -> list[tf.Operation]:
    """Assertions, from signature and header alone, that the content is a JPEG or PNG that may be decoded."""
    is_png = tf.logical_and(
        tf.equal(tf.strings.substr(contents, 0, len(PNG_SIGNATURE)), PNG_SIGNATURE),
        tf.greater_equal(tf.strings.length(contents), PNG_HEADER_BYTES),
    )
    is_jpeg = tf.equal(tf.strings.substr(contents, 0, len(JPEG_SIGNATURE)), JPEG_SIGNATURE)
    known = tf.debugging.Assert(tf.logical_or(is_png, is_jpeg), ["the image is neither a JPEG nor a PNG"])
    with tf.control_dependencies([known]):
        header = tf.cond(is_png, lambda: _png_header(contents), lambda: _jpeg_header(contents))
    pixels = header[0] * header[1]
    size = tf.debugging.Assert(
        tf.logical_and(tf.reduce_all(header[:2] > 0), pixels <= MAX_PIXELS),
        [f"the image has to have 1 to {MAX_PIXELS} pixels; height, width:", header[:2]],
    )
    mode = tf.debugging.Assert(
        tf.equal(header[2], 1), ["the image has to be grey or RGB (not CMYK) with at most 8 bits a channel"]
    )
    return [assertion for assertion in (known, size, mode) if assertion is not None]


def _png_header(contents: tf.Tensor) -> tf.Tensor:
    """int64 [3]: height, width, and whether it has at most 8 bits a channel; from the IHDR chunk."""
    size = tf.io.decode_raw(tf.strings.substr(contents, 16, 8), tf.int32, little_endian=False)
    depth = tf.io.decode_raw(tf.strings.substr(contents, 24, 1), tf.uint8)[0]
    supported = tf.cast(depth <= 8, tf.int64)
    return tf.stack([tf.cast(size[1], tf.int64), tf.cast(size[0], tf.int64), supported])


def _jpeg_header(contents: tf.Tensor) -> tf.Tensor:
    """int64 [3]: height, width, and whether it is grey or of three channels."""
    shape = tf.image.extract_jpeg_shape(contents, output_type=tf.int32)
    supported = tf.cast(tf.logical_or(tf.equal(shape[2], 1), tf.equal(shape[2], 3)), tf.int64)
    return tf.stack([tf.cast(shape[0], tf.int64), tf.cast(shape[1], tf.int64), supported])
