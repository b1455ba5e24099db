// Formats other than plain PNG and JPEG: read if the build has the library, otherwise refused by name. The
// fixtures were made with Pillow, jpegtran and heif-enc (make_files.py).
#include "data/image_decoders.h"
#include "tests/data/helpers.h"

namespace fer::test {
namespace {

std::vector<std::uint8_t> bytes_of_text(const std::string& text) {
  return {text.begin(), text.end()};
}

/// Whether the build has the library. If not, checks that the file is refused with a message that names it.
bool has_library(const std::string& library, const std::string& file, const std::string& refusal) {
  if (!library.empty()) return true;
  CHECK(message_of<FormatError>([&] { read_image(fixture(file)); }) ==
        "'" + fixture(file).string() + "' is a " + refusal);
  MESSAGE("skipped: ", refusal);
  return false;
}

bool has_webp() {
  return has_library(detail::webp_library(), "lossless.webp",
                     "WebP, which is read by libwebp; this build was configured without it (Debian: "
                     "libwebp-dev)");
}

bool has_tiff() {
  return has_library(detail::tiff_library(), "pages.tiff",
                     "TIFF, which is read by libtiff; this build was configured without it (Debian: "
                     "libtiff-dev)");
}

bool has_heif() {
  return has_library(detail::heif_library(), "phone.heic",
                     "HEIC, which is read by libheif; this build was configured without it (Debian: "
                     "libheif-dev)");
}

/// The picture that make_files.py draws, 96 x 128.
Image large_scene() {
  Image image(96, 128, 3);
  for (int y = 0; y < 96; ++y) {
    for (int x = 0; x < 128; ++x) {
      image.at(y, x, 0) = static_cast<std::uint8_t>(40 + 150 * x / 128.0);
      image.at(y, x, 1) = static_cast<std::uint8_t>(200 - 120 * y / 96.0);
      image.at(y, x, 2) = static_cast<std::uint8_t>(60 + 100 * (x > 128 * 0.6));
    }
  }
  return image;
}

}  // namespace

TEST_CASE("GIF and BMP: the pixels of Pillow") {
  ImageInfo info;
  CHECK(read_image(fixture("really_a_gif.png"), &info) == read_image(fixture("gif_rgb.png")));
  CHECK(info.format == "GIF");
  CHECK_FALSE(info.more);
  CHECK(read_image(fixture("animation.gif"), &info) == read_image(fixture("gif_rgb.png")));
  CHECK(info.more);
  CHECK(read_image(fixture("rgb.bmp"), &info) == read_image(fixture("upright.png")));
  CHECK(info.format == "BMP");
  CHECK(read_image(fixture("palette.bmp")) == read_image(fixture("palette_bmp_rgb.png")));
}

TEST_CASE("PNM: binary grey and colour, 8 and 16 bits, with comments and any white") {
  CHECK(decode_image(bytes_of_text("P5\n# a comment\n2 1\n255\nAz"), "x").pixels ==
        std::vector<std::uint8_t>{'A', 'z'});
  const Image colour = decode_image(bytes_of_text("P6 1 2 255\nabcdef"), "x");
  CHECK(colour.channels == 3);
  CHECK(colour.at(1, 0, 2) == 'f');
  CHECK(decode_image(bytes_of_text("P5 2 1 100\n\x32\x64"), "x").pixels ==
        std::vector<std::uint8_t>{127, 255});
  CHECK(decode_image(bytes_of_text("P5 2 1 65535\nAxZy"), "x").pixels == std::vector<std::uint8_t>{'A', 'Z'});
  CHECK(decode_error(bytes_of_text("P5 2 2 255\nabc")) ==
        "'x' is a truncated PNM: its data ends before the picture does");
  CHECK(decode_error(bytes_of_text("P5 2 -2 255\nabcd")) == "'x' is a damaged PNM: its header is invalid");
  CHECK(decode_error(bytes_of_text("P5 99999 99999 255\nabcd")) ==
        "'x' has 99999 x 99999 pixels; more than 2^28 are not read");
  CHECK(decode_error(bytes_of_text("P5 0 3 255\nabcd")) == "'x' has no pixels: 0 x 3");
  CHECK(decode_error(bytes_of_text("P2 1 1 255\n3\n")) ==
        "'x' is a PNM of kind P2; those that are read are P5 and P6, binary grey and colour");
}

TEST_CASE("WebP: lossless, lossy, animated, turned") {
  if (!has_webp()) return;
  ImageInfo info;
  CHECK(read_image(fixture("lossless.webp"), &info) == read_image(fixture("upright.png")));
  CHECK(info.format == "WebP");
  CHECK_FALSE(info.more);
  CHECK(largest_difference(read_image(fixture("lossy.webp")), read_image(fixture("lossy_webp_rgb.png"))) <=
        1);
  CHECK(read_image(fixture("animation.webp"), &info) == read_image(fixture("upright.png")));
  CHECK(info.more);
  for (const char* name : {"orientation_3.webp", "orientation_6.webp"}) {
    CAPTURE(name);
    CHECK(read_image(fixture(name)) == read_image(fixture("upright.png")));
  }
}

TEST_CASE("TIFF: grey, 16 bits, one bit, CMYK, pages, turned") {
  if (!has_tiff()) return;
  ImageInfo info;
  CHECK(read_image(fixture("grey.tiff"), &info) == read_image(fixture("noise_grey.png")));
  CHECK(info.format == "TIFF");
  CHECK_FALSE(info.more);
  CHECK(largest_difference(read_image(fixture("grey16.tiff")), read_image(fixture("grey16_high.png"))) <= 1);
  CHECK(read_image(fixture("bits.tiff")) == read_image(fixture("bits_grey.png")));
  CHECK(largest_difference(read_image(fixture("cmyk.tiff")), read_image(fixture("upright.png"))) <= 2);
  CHECK(read_image(fixture("pages.tiff"), &info) == read_image(fixture("upright.png")));
  CHECK(info.more);
  for (const char* name : {"orientation_3.tiff", "orientation_6.tiff"}) {
    CAPTURE(name);
    CHECK(read_image(fixture(name)) == read_image(fixture("upright.png")));
  }
}

TEST_CASE("HEIC and AVIF, as phones make them") {
  if (!has_heif()) return;
  for (const auto& [file, format] : {std::pair{"phone.heic", "HEIC"}, {"phone.avif", "AVIF"}}) {
    CAPTURE(file);
    ImageInfo info;
    CHECK(mean_difference(read_image(fixture(file), &info), large_scene()) < 3);
    CHECK(info.format == format);
  }
}

TEST_CASE("JPEG: arithmetic coding, and kinds that are not supported") {
  const Image plain = read_image(fixture("plain.jpg"));
  for (const char* name : {"arithmetic.jpg", "arithmetic_progressive.jpg"}) {
    CAPTURE(name);
    const auto bytes = bytes_of(fixture(name));
    if (!detail::jpeg_library().empty()) CHECK(read_image(fixture(name)) == plain);
    CHECK(
        message_of<FormatError>(
            [&] { detail::decode_with_stb(bytes, detail::read_markers(bytes, "x"), "x"); }) ==
        "'x' is a JPEG with arithmetic coding, which is decoded by libjpeg-turbo; this build was configured "
        "without it (Debian: libjpeg-dev)");
  }
  auto bytes = bytes_of(fixture("plain.jpg"));
  const std::uint8_t marker[] = {0xFF, 0xC0};
  const auto frame = std::search(bytes.begin(), bytes.end(), std::begin(marker), std::end(marker)) + 1;
  frame[0] = 0xC3;
  CHECK(decode_error(bytes) ==
        "'x' is a lossless JPEG, which is not supported; convert it to an ordinary one");
  frame[0] = 0xC5;
  CHECK(decode_error(bytes) ==
        "'x' is a hierarchical JPEG, which is not supported; convert it to an ordinary one");
  frame[0] = 0xC1;
  frame[3] = 12;
  CHECK(decode_error(bytes) ==
        "'x' is a JPEG of more than 8 bits a sample, which is not supported; convert it to an ordinary one");
}

TEST_CASE("JPEG by libjpeg-turbo has Pillow's pixels, and by stb is at most 6 levels from them") {
  for (const char* name : {"plain", "progressive", "cmyk"}) {
    CAPTURE(name);
    const auto bytes = bytes_of(fixture(concat(name, ".jpg")));
    const Image pillow = read_image(fixture(concat(name, "_rgb.png")));
    const detail::ImageMarkers markers = detail::read_markers(bytes, name);
    CHECK(largest_difference(detail::decode_with_stb(bytes, markers, name), pillow) <= 6);
    if (detail::jpeg_library().starts_with("libjpeg-turbo")) {
      CHECK(largest_difference(detail::decode_jpeg(bytes, markers, name), pillow) <=
            (name[0] == 'c' ? 1 : 0));
    }
  }
}

TEST_CASE("a file that is not a picture, or has an unsupported format, is an error that says so") {
  CHECK(decode_error({}) == "'x' is not a picture that fer reads: the file is empty");
  CHECK(decode_error(bytes_of_text("some text that is long enough")) ==
        "'x' is not a picture that fer reads: it does not start with the signature of one");
  CHECK(decode_error(bytes_of_text("BMW is a car, and this is a text")) ==
        "'x' is not a picture that fer reads: it does not start with the signature of one");
  CHECK(decode_error(bytes_of_text(std::string("\0\0\0\x18"
                                               "ftypisom\0\0\0\0isommp42",
                                               24))) ==
        "'x' is not a picture that fer reads: it is a video or another media file");
  CHECK(decode_error(bytes_of_text("<html><body>404")) ==
        "'x' is not a picture that fer reads: it is a web page");
  CHECK(decode_error(bytes_of_text(std::string("\xFF\x0A\0\0", 4))) ==
        "'x' is not a picture that fer reads: it is a JPEG XL");
  auto bmp = bytes_of(fixture("rgb.bmp"));
  bmp[30] = 1;
  CHECK(decode_error(bmp) ==
        "'x' is a BMP with run-length coding, which is not supported; convert it to PNG");
}

TEST_CASE("which files are pictures: by name, and others by content") {
  const TempFolder folder;
  for (const char* name : {"a.JPG", "a.jpeg", "a.png", "a.bmp", "a.gif", "a.tif", "a.tiff", "a.webp", "a.pgm",
                           "a.heic", "a.HEIF", "a.avif", "a.jfif"}) {
    CAPTURE(name);
    CHECK(is_picture_name(name));
  }
  CHECK_FALSE(is_picture_name("a.txt"));
  CHECK_FALSE(is_picture_name("png"));
  write_bytes(folder / "IMG_0001", bytes_of(fixture("plain.jpg")));
  write_text(folder / "notes.txt", "no picture");
  write_text(folder / "empty", "");
  CHECK(is_picture_file(folder / "IMG_0001"));
  CHECK(is_picture_file(fixture("upright.png")));
  CHECK_FALSE(is_picture_file(folder / "notes.txt"));
  CHECK_FALSE(is_picture_file(folder / "empty"));
  CHECK_FALSE(is_picture_file(folder / "missing.png"));
  CHECK_FALSE(is_picture_file(folder.path()));
}

}  // namespace fer::test
