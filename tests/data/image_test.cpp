// Reading, writing and resizing pictures. The fixtures were made with Pillow (make_files.py).
#include "fer/data/image.h"

#include <sys/resource.h>

#include <csignal>

#include "tests/data/helpers.h"

namespace fer::test {
namespace {

std::string read_error(const fs::path& path) {
  return message_of<FormatError>([&] { read_image(path); });
}

TEST_CASE("PNG round trip is exact, in grey and colour") {
  const TempFolder folder;
  for (int channels : {1, 3}) {
    Image image(5, 7, channels);
    for (std::size_t i = 0; i < image.pixels.size(); ++i) image.pixels[i] = static_cast<std::uint8_t>(i * 37);
    write_image(folder / "a.png", image);
    CHECK(read_image(folder / "a.png") == image);
  }
}

TEST_CASE("JPEG round trip is close") {
  const TempFolder folder;
  const Image image = read_image(fixture("upright.png"));
  write_image(folder / "a.JPEG", image, 98);
  CHECK(largest_difference(read_image(folder / "a.JPEG"), image) < 40);  // chroma subsampling at the edge
  const Image grey = to_grey(image);
  write_image(folder / "g.jpg", grey, 98);
  const Image back = read_image(folder / "g.jpg");
  CHECK(largest_difference(to_grey(back), grey) <= 4);
}

TEST_CASE("PNG flavours: palette, alpha, 16 bits, one pixel") {
  CHECK(read_image(fixture("palette.png")) == read_image(fixture("palette_rgb.png")));
  CHECK(read_image(fixture("alpha.png")) == read_image(fixture("noise_29x37.png")));  // alpha is dropped
  CHECK(read_image(fixture("grey_alpha.png")) == read_image(fixture("noise_grey.png")));
  CHECK(read_image(fixture("grey16.png")) == read_image(fixture("grey16_high.png")));
  const Image pixel = read_image(fixture("pixel.png"));
  REQUIRE(pixel.pixels == std::vector<std::uint8_t>{10, 200, 30});
  CHECK(resize(pixel, 112, 112).at(111, 111, 1) == 200);
}

TEST_CASE("JPEG flavours: baseline, progressive, grey, CMYK") {
  for (const char* name : {"plain", "progressive"}) {
    CAPTURE(name);
    const Image image = read_image(fixture(std::string(name) + ".jpg"));
    CHECK(largest_difference(image, read_image(fixture(std::string(name) + "_rgb.png"))) <= 6);
  }
  CHECK(read_image(fixture("grey.jpg")).channels == 1);
  CHECK(largest_difference(read_image(fixture("cmyk.jpg")), read_image(fixture("cmyk_rgb.png"))) <= 6);
  const std::string odd = fixture("cmyk_without_adobe.jpg").string();
  CHECK(read_error(odd) ==
        "'" + odd +
            "' is a four-component JPEG without an Adobe marker: its colours (CMYK or not, inverted "
            "or not) are unknown");
}

TEST_CASE("EXIF orientation is applied, in JPEG and PNG") {
  const Image upright = read_image(fixture("upright.png"));
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    const std::string name = concat("orientation_", orientation);
    CHECK(largest_difference(read_image(fixture(name + ".jpg")), upright) <= 8);
    CHECK(read_image(fixture(name + ".png")) == upright);
  }
}

TEST_CASE("a truncated JPEG is an error, wherever it is cut") {
  const TempFolder folder;
  const fs::path path = folder / "cut.jpg";
  for (const char* source : {"plain.jpg", "progressive.jpg", "orientation_6.jpg"}) {
    const auto whole = bytes_of(fixture(source));
    for (std::size_t n = 3; n < whole.size(); ++n) {
      write_bytes(path, {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)});
      const std::string message = read_error(path);
      CAPTURE(n);
      const bool right =
          message == "'" + path.string() + "' is a truncated JPEG: its end marker is missing" ||
          message == "'" + path.string() + "' is a truncated JPEG: a segment is cut";
      CHECK_MESSAGE(right, message);
      if (!right) break;
    }
  }
  // half of the data of a larger picture: what a broken download leaves
  const auto whole = encode_jpeg(Image(64, 64, 3, 90));
  write_bytes(path, {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() - 40)});
  CHECK(read_error(path) == "'" + path.string() + "' is a truncated JPEG: its end marker is missing");
}

TEST_CASE("a JPEG that was cut and then closed with an end marker is an error") {
  const TempFolder folder;
  const fs::path path = folder / "cut.jpg";
  const auto check_cut = [&](const std::vector<std::uint8_t>& whole, std::size_t scan, std::size_t end) {
    write_bytes(path, whole);
    CHECK_NOTHROW(read_image(path));
    for (std::size_t n = scan; n < end - (end - scan) / 5; n += std::max<std::size_t>(1, (end - scan) / 50)) {
      if (whole[n - 1] == 0xFF) continue;  // half of a byte
      std::vector<std::uint8_t> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n));
      cut.insert(cut.end(), {0xFF, 0xD9});
      write_bytes(path, cut);
      CAPTURE(n);
      CHECK(read_error(path) ==
            "'" + path.string() + "' is a truncated JPEG: its data ends before the picture does");
    }
  };
  const auto last_scan = [](const std::vector<std::uint8_t>& bytes) {
    const std::uint8_t marker[] = {0xFF, 0xDA};
    const auto found = std::find_end(bytes.begin(), bytes.end(), std::begin(marker), std::end(marker));
    return static_cast<std::size_t>(found - bytes.begin()) + 2;
  };
  Image noise(64, 80, 3);
  for (std::size_t i = 0; i < noise.pixels.size(); ++i)
    noise.pixels[i] = static_cast<std::uint8_t>((i * i * 2654435761u) >> 13);
  for (const auto& whole : {encode_jpeg(noise, 95), encode_jpeg(to_grey(noise), 60),
                            bytes_of(fixture("plain.jpg")), bytes_of(fixture("orientation_6.jpg"))}) {
    check_cut(whole, last_scan(whole) + 12, whole.size() - 2);  // 12: length, components, spectrum
  }
  // Of the last scan of a progressive picture, which refines one bit of each value, a few bytes are many
  // blocks.
  const auto progressive = bytes_of(fixture("progressive.jpg"));
  check_cut(progressive, last_scan(progressive) + 8, progressive.size() - 10);
}

TEST_CASE("a truncated or damaged PNG is an error, wherever it is cut or changed") {
  const TempFolder folder;
  const fs::path path = folder / "cut.png";
  const auto whole = bytes_of(fixture("pixel.png"));
  for (std::size_t n = 8; n < whole.size(); ++n) {
    write_bytes(path, {whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n)});
    CAPTURE(n);
    CHECK(read_error(path).starts_with("'" + path.string() + "' is a truncated PNG: "));
  }
  for (std::size_t n = 8; n < whole.size(); ++n) {
    auto changed = whole;
    changed[n] ^= 0x10;
    write_bytes(path, changed);
    CAPTURE(n);
    CHECK(read_error(path).starts_with("'" + path.string() + "' is a "));
  }
  auto changed = whole;
  changed[20] ^= 1;  // the width, whose chunk's checksum no longer agrees
  write_bytes(path, changed);
  CHECK(read_error(path) == "'" + path.string() + "' is a damaged PNG: the checksum of a chunk is wrong");
}

TEST_CASE("a JPEG's Huffman table with too many codes, or cut, is an error") {
  auto bytes = encode_jpeg(Image(16, 16, 3, 90));
  const std::uint8_t marker[] = {0xFF, 0xC4};
  const auto table = std::search(bytes.begin(), bytes.end(), std::begin(marker), std::end(marker)) + 4;
  REQUIRE(table < bytes.end());
  const std::uint8_t before = table[1 + 15];
  table[1 + 15] = 255;  // codes of 16 bits
  CHECK_THROWS_WITH_AS(
      decode_image(bytes, "wide.jpg"),
      "'wide.jpg' is a damaged JPEG: a Huffman table has 267 codes, more than there are symbols",
      FormatError);
  table[1 + 15] = before;
  table[-1] = 20, table[-2] = 0;  // the segment's length
  CHECK_THROWS_WITH_AS(decode_image(bytes, "cut.jpg"), "'cut.jpg' is a damaged JPEG: a Huffman table is cut",
                       FormatError);
}

TEST_CASE("damaged bytes within a JPEG never crash") {
  const TempFolder folder;
  const auto whole = bytes_of(fixture("progressive.jpg"));
  for (std::size_t n = 2; n < whole.size(); ++n) {
    for (std::uint8_t value : {0x00, 0xFF, 0x7F}) {
      auto changed = whole;
      changed[n] = value;
      try {
        const Image image = decode_image(changed, "changed");
        CHECK(!image.empty());
      } catch (const FormatError&) {
      }
    }
  }
}

TEST_CASE("missing files and folders say so") {
  CHECK(message_of<IoError>([] { read_image("/nonexistent/a.png"); }) ==
        "cannot read '/nonexistent/a.png': No such file or directory");
  const TempFolder folder;
  CHECK(message_of<IoError>([&] { read_image(folder.path()); }) ==
        "cannot read '" + folder.str() + "': Is a directory");
}

TEST_CASE("a picture of 20 megapixels is read and shrunk") {
  const Image large(4000, 5000, 1, 77);
  const Image read = decode_image(encode_jpeg(large), "large");
  CHECK(read.height == 4000);
  const Image small = resize(read, 112, 112);
  CHECK(std::abs(small.at(50, 60) - 77) <= 1);
}

TEST_CASE("resize is Pillow's, bit for bit") {
  const Image noise = read_image(fixture("noise_29x37.png"));
  for (auto [height, width] : {std::pair{112, 112}, {8, 9}, {29, 14}, {58, 37}, {1, 1}, {30, 36}}) {
    CAPTURE(height);
    CAPTURE(width);
    const Image expected = read_image(fixture(concat("noise_to_", height, "x", width, ".png")));
    CHECK(largest_difference(resize(noise, height, width), expected) == 0);
  }
  const Image grey = read_image(fixture("noise_grey.png"));
  CHECK(to_grey(noise) == grey);
  CHECK(largest_difference(resize(grey, 48, 20), read_image(fixture("noise_grey_to_48x20.png"))) == 0);
  CHECK(resize(noise, 29, 37) == noise);
}

TEST_CASE("quarter turns are clockwise, and four of them are none") {
  Image image(2, 3, 1);
  image.pixels = {1, 2, 3, 4, 5, 6};
  const Image once = turn_clockwise(image, 1);
  CHECK(once.height == 3);
  CHECK(once.pixels == std::vector<std::uint8_t>{4, 1, 5, 2, 6, 3});
  CHECK(turn_clockwise(image, 2).pixels == std::vector<std::uint8_t>{6, 5, 4, 3, 2, 1});
  CHECK(turn_clockwise(image, 0) == image);
  CHECK(turn_clockwise(image, 3) == turn_clockwise(turn_clockwise(once, 1), 1));
  CHECK(turn_clockwise(turn_clockwise(image, 3), 1) == image);
  CHECK(message_of<ShapeError>([&] { turn_clockwise(image, 4); }) ==
        "[turn_clockwise] takes 0 to 3 quarters, got 4");
}

TEST_CASE("crop, flip and channels") {
  Image image(2, 3, 1);
  image.pixels = {1, 2, 3, 4, 5, 6};
  CHECK(crop(image, 0, 1, 2, 2).pixels == std::vector<std::uint8_t>{2, 3, 5, 6});
  CHECK(crop(image, -1, 2, 2, 2).pixels == std::vector<std::uint8_t>{3, 3, 3, 3});  // the border repeats
  CHECK(flip_horizontal(image).pixels == std::vector<std::uint8_t>{3, 2, 1, 6, 5, 4});
  CHECK(to_rgb(image).pixels[4] == 2);
  CHECK(to_grey(to_rgb(image)) == image);
  CHECK(message_of<ShapeError>([&] { Image(0, 3, 1); }) ==
        "[image] needs positive extents and 1 or 3 channels, got 0 x 3 x 1");
  CHECK(message_of<ShapeError>([&] { resize(image, 0, 3); }) == "[resize] needs positive extents, got 0 x 3");
  CHECK(message_of<ShapeError>([&] { resize(Image(), 3, 3); }) == "[resize] the image is empty");
}

TEST_CASE("a picture is grey where no pixel shows a colour beyond what a JPEG adds") {
  CHECK(is_grey(Image(3, 4, 1, 200)));
  Image image(3, 4, 3, 200);
  CHECK(is_grey(image));
  image.at(2, 3, 1) = 208;
  CHECK(is_grey(image));
  image.at(2, 3, 1) = 209;
  CHECK_FALSE(is_grey(image));
  image.at(2, 3, 1) = 200;
  image.at(0, 0, 2) = 191;
  CHECK_FALSE(is_grey(image));
  CHECK_FALSE(is_grey(read_image(fixture("upright.png"))));

  // A grey photograph in three channels, also through a JPEG.
  const Image grey = to_rgb(to_grey(read_image(fixture("upright.png"))));
  CHECK(is_grey(grey));
  const std::vector<std::uint8_t> jpeg = encode_jpeg(grey, 40);
  const Image back = decode_image(jpeg, "grey.jpg");
  CHECK(back.channels == 3);
  CHECK(is_grey(back));
}

TEST_CASE("luma is ITU-R BT.601's, and of a grey pixel the pixel itself") {
  const auto luma = [](std::uint8_t r, std::uint8_t g, std::uint8_t b) {
    Image pixel(1, 1, 3);
    pixel.pixels = {r, g, b};
    return static_cast<int>(to_grey(pixel).at(0, 0));
  };
  CHECK(luma(255, 0, 0) == 76);  // Pillow: Image.new("RGB", (1, 1), (255, 0, 0)).convert("L")
  CHECK(luma(0, 255, 0) == 150);
  CHECK(luma(0, 0, 255) == 29);
  CHECK(luma(200, 100, 50) == 124);
  for (int v = 0; v < 256; ++v) {
    const auto byte = static_cast<std::uint8_t>(v);
    CHECK(luma(byte, byte, byte) == v);
  }
}

TEST_CASE("writing: unknown extension, unwritable folder, full disk") {
  const TempFolder folder;
  const Image image(20, 20, 3, 50);
  const std::string bmp = (folder / "a.bmp").string();
  CHECK(message_of<ConfigError>([&] { write_image(bmp, image); }) ==
        "cannot write '" + bmp + "': pictures are written as .png, .jpg or .jpeg");
  CHECK(message_of<IoError>([&] { write_image("/nonexistent/a.png", image); }) ==
        "cannot write '/nonexistent/a.png': No such file or directory");
  CHECK(message_of<ConfigError>([&] { encode_jpeg(image, 0); }) == "JPEG quality must be 1 to 100, got 0");

  // A size that the format cannot hold would be written as another one.
  CHECK(message_of<ShapeError>([&] { encode_jpeg(Image(1, 65536, 1)); }) ==
        "[encode_jpeg] the image has 65536 x 1 pixels; the format takes sides of 65535, and more than 2^28 "
        "pixels are not written");
  CHECK(decode_image(encode_png(Image(1, 65536, 1, 7)), "wide").width == 65536);
  Image huge(1, 1, 1);
  huge.width = huge.height = 1 << 15;
  CHECK(message_of<ShapeError>([&] {
          encode_png(huge);
        }).starts_with("[encode_png] the image has 32768 x 32768 pixels"));

  // No room for the file: the one that was there is untouched, and nothing is left beside it.
  const fs::path path = folder / "a.png";
  write_image(path, image);
  const auto before = bytes_of(path);
  rlimit old{};
  getrlimit(RLIMIT_FSIZE, &old);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit tight = old;
  tight.rlim_cur = 64;
  setrlimit(RLIMIT_FSIZE, &tight);
  const std::string message =
      message_of<IoError>([&] { write_image(path, read_image(fixture("noise_29x37.png"))); });
  setrlimit(RLIMIT_FSIZE, &old);
  std::signal(SIGXFSZ, handler);
  CHECK(message == "cannot write '" + path.string() + "': File too large");
  CHECK(bytes_of(path) == before);
  CHECK(std::distance(fs::directory_iterator(folder.path()), {}) == 1);
}

}  // namespace
}  // namespace fer::test
