// Picture files that claim more than they contain, contain more than they claim, or are truncated.
#include <sys/resource.h>
#include <sys/wait.h>

#include <chrono>
#include <numeric>

#include "data/image_decoders.h"
#include "tests/data/helpers.h"

namespace fer::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

/// A refusal must be quick; reading the file would take seconds.
std::string quick_error(const Bytes& bytes) {
  const auto start = std::chrono::steady_clock::now();
  std::string message = decode_error(bytes);
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  CHECK(taken.count() < 0.2);
  return message;
}

void append(Bytes& bytes, const Bytes& more) {
  bytes.insert(bytes.end(), more.begin(), more.end());
}

Bytes number(std::uint32_t value, int count, bool little) {
  Bytes bytes;
  for (int i = 0; i < count; ++i)
    bytes.push_back(static_cast<std::uint8_t>(value >> 8 * (little ? i : count - 1 - i)));
  return bytes;
}

std::uint32_t crc_of(const Bytes& bytes) {
  std::uint32_t c = 0xFFFFFFFFu;
  for (const std::uint8_t byte : bytes) {
    c ^= byte;
    for (int k = 0; k < 8; ++k) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
  }
  return ~c;
}

void add_chunk(Bytes& png, const std::string& type, const Bytes& body) {
  Bytes chunk(type.begin(), type.end());
  append(chunk, body);
  append(png, number(static_cast<std::uint32_t>(body.size()), 4, false));
  append(png, chunk);
  append(png, number(crc_of(chunk), 4, false));
}

/// zlib's format with uncompressed blocks.
Bytes stored(const Bytes& data) {
  Bytes out{0x78, 0x01};
  for (std::size_t at = 0;;) {
    const std::size_t count = std::min<std::size_t>(data.size() - at, 65535);
    const bool last = at + count == data.size();
    out.push_back(last ? 1 : 0);
    append(out, number(static_cast<std::uint32_t>(count), 2, true));
    append(out, number(static_cast<std::uint32_t>(~count), 2, true));
    out.insert(out.end(), data.begin() + static_cast<std::ptrdiff_t>(at),
               data.begin() + static_cast<std::ptrdiff_t>(at + count));
    at += count;
    if (last) break;
  }
  std::uint32_t a = 1, b = 0;
  for (const std::uint8_t byte : data) a = (a + byte) % 65521, b = (b + a) % 65521;
  append(out, number(b << 16 | a, 4, false));
  return out;
}

/// zlib's format at its maximum compression: 258 zeros for every two bits.
Bytes deflated_zeros(std::size_t bytes) {
  Bytes out{0x78, 0x01};
  std::uint32_t buffer = 0;
  int used = 0;
  const auto put = [&](std::uint32_t bits, int count) {  // from the lowest
    buffer |= bits << used;
    for (used += count; used >= 8; used -= 8, buffer >>= 8) out.push_back(static_cast<std::uint8_t>(buffer));
  };
  put(1, 1);     // the last block
  put(1, 2);     // with the fixed codes
  put(0x0C, 8);  // a zero: 00110000
  for (std::size_t left = bytes - 1; left >= 258; left -= 258) {
    put(0xA3, 8);  // the length 258: 11000101
    put(0, 5);     // the distance 1
  }
  put(0, 7);  // the end
  put(0, 8);
  append(out, number(0, 4, false));
  return out;
}

Bytes png(std::uint32_t width, std::uint32_t height, const Bytes& data, std::uint8_t interlace = 0,
          std::uint8_t depth = 8, std::uint8_t colour = 0) {
  Bytes bytes{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  Bytes header = number(width, 4, false);
  append(header, number(height, 4, false));
  append(header, {depth, colour, 0, 0, interlace});
  add_chunk(bytes, "IHDR", header);
  add_chunk(bytes, "IDAT", data);
  add_chunk(bytes, "IEND", {});
  return bytes;
}

/// A JPEG whose frame header claims another size.
Bytes claiming(Bytes jpeg, std::uint32_t width, std::uint32_t height) {
  for (std::size_t i = 2; i + 9 < jpeg.size(); ++i) {
    if (jpeg[i] != 0xFF || jpeg[i + 1] < 0xC0 || jpeg[i + 1] > 0xCF || jpeg[i + 1] == 0xC4) continue;
    const Bytes sides = number(height << 16 | width, 4, false);
    std::copy(sides.begin(), sides.end(), jpeg.begin() + static_cast<std::ptrdiff_t>(i + 5));
    break;
  }
  return jpeg;
}

/// The offsets of a JPEG's scan headers.
std::vector<std::size_t> scans_of(const Bytes& jpeg) {
  std::vector<std::size_t> at;
  for (std::size_t i = 0; i + 1 < jpeg.size(); ++i)
    if (jpeg[i] == 0xFF && jpeg[i + 1] == 0xDA) at.push_back(i);
  return at;
}

}  // namespace

TEST_CASE("more pixels than the bytes can hold are refused at once") {
  const std::string claim = "'x' claims 16384 x 16384 pixels, which its ";
  for (const char* name : {"plain.jpg", "progressive.jpg", "grey.jpg"}) {
    CAPTURE(name);
    const Bytes jpeg = claiming(bytes_of(fixture(name)), 16384, 16384);
    CHECK(quick_error(jpeg) == concat(claim, jpeg.size(), " bytes cannot hold"));
  }
  CHECK(quick_error(png(16384, 16384, stored(Bytes(100)))) == claim + "111 bytes cannot hold");
  CHECK(quick_error(png(16384, 16384, stored(Bytes(100)), 1, 16, 6)) == claim + "111 bytes cannot hold");
  CHECK(quick_error(claiming(bytes_of(fixture("arithmetic.jpg")), 16384, 16384))
            .ends_with("bytes; more than 4096 a byte are not read"));
  CHECK(quick_error(claiming(bytes_of(fixture("plain.jpg")), 65535, 65535)) ==
        "'x' has 65535 x 65535 pixels; more than 2^28 are not read");

  Bytes gif = bytes_of(fixture("really_a_gif.png"));
  gif[7] = gif[9] = 0x3F;  // the screen: 16160 x 16152
  CHECK(quick_error(gif) == concat("'x' claims 16160 x 16152 pixels in ", gif.size(),
                                   " bytes; more than 4096 a byte are not read"));
  Bytes bmp = bytes_of(fixture("rgb.bmp"));
  bmp[19] = bmp[23] = 0x3F;
  CHECK(quick_error(bmp) == "'x' is a truncated BMP: its data ends before the picture does");
  if (!detail::webp_library().empty()) {
    Bytes webp = bytes_of(fixture("lossless.webp"));
    const std::string tag = "VP8L";
    const auto data = std::search(webp.begin(), webp.end(), tag.begin(), tag.end()) + 9;
    const Bytes sides = number((16383 | 16383 << 14) | (data[3] & 0xF0000000u), 4, true);
    std::copy(sides.begin(), sides.end(), data);
    CHECK(quick_error(webp) == concat("'x' claims 16384 x 16384 pixels in ", webp.size(),
                                      " bytes; more than 4096 a byte are not read"));
  }
  if (!detail::tiff_library().empty()) {
    Bytes tiff = bytes_of(fixture("grey.tiff"));
    for (std::size_t i = 8; i + 12 <= tiff.size(); ++i) {  // the tags of the sides, of type SHORT or LONG
      if ((tiff[i] != 0 && tiff[i] != 1) || tiff[i + 1] != 1 || tiff[i + 3] != 0 || tiff[i + 4] != 1)
        continue;
      tiff[i + 8] = 0, tiff[i + 9] = 0x40;
    }
    CHECK(quick_error(tiff) == concat("'x' claims 16384 x 16384 pixels in ", tiff.size(),
                                      " bytes; more than 4096 a byte are not read"));
  }
}

TEST_CASE("a PNG that inflates to more than its picture is refused, and takes no memory") {
  const std::string refusal = "'x' is a damaged PNG: its data hold more than its picture";
  const Bytes exact(3 * 5);  // three rows of a filter and four samples
  CHECK(decode_image(png(4, 3, stored(exact)), "x") == Image(3, 4, 1));
  Bytes more(exact.size() + 1);
  CHECK(decode_error(png(4, 3, stored(more))) == refusal);
  CHECK(decode_error(png(4, 3, stored(Bytes(200'000)))) == refusal);
  CHECK(decode_error(png(4, 3, stored(Bytes(exact.size() - 1)))) == "'x' is a damaged PNG: Corrupt PNG");

  const Bytes bomb = png(4, 3, deflated_zeros(std::size_t{1} << 30));
  const pid_t child = ::fork();
  if (child == 0) {  // with little memory
    const rlimit limit{std::size_t{256} << 20, std::size_t{256} << 20};
    ::setrlimit(RLIMIT_DATA, &limit);
    ::_exit(quick_error(bomb) == refusal ? 0 : 1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("a PNG of one bit a sample is read") {
  const Image image = decode_image(png(8, 2, stored({0, 0xAA, 0, 0x0F}), 0, 1), "x");
  CHECK(image.pixels == Bytes{255, 0, 255, 0, 255, 0, 255, 0, 0, 0, 0, 0, 255, 255, 255, 255});
}

TEST_CASE("an interlaced PNG is read, and one that inflates to much more is refused") {
  // 1 x 1 of seven passes has one row; 5 x 5 has rows of 1, 1, 1, 2, 3, 2 and 5 samples and more
  const auto raw = [](int side) {
    const int x0[] = {0, 4, 0, 2, 0, 1, 0}, y0[] = {0, 0, 4, 0, 2, 0, 1};
    const int dx[] = {8, 8, 4, 4, 2, 2, 1}, dy[] = {8, 8, 8, 4, 4, 2, 2};
    std::size_t bytes = 0;
    for (int pass = 0; pass < 7; ++pass) {
      const int width = (side - x0[pass] + dx[pass] - 1) / dx[pass];
      const int height = (side - y0[pass] + dy[pass] - 1) / dy[pass];
      if (width > 0 && height > 0) bytes += static_cast<std::size_t>(height) * (1 + width);
    }
    return bytes;
  };
  for (const int side : {1, 5, 8, 33}) {
    CAPTURE(side);
    const auto sides = static_cast<std::uint32_t>(side);
    CHECK(decode_image(png(sides, sides, stored(Bytes(raw(side))), 1), "x") == Image(side, side, 1));
    CHECK(decode_error(png(sides, sides, stored(Bytes(100'000)), 1)) ==
          "'x' is a damaged PNG: its data hold more than its picture");
  }
}

TEST_CASE("a progressive JPEG that ends after some of its scans is refused, by whichever decoder") {
  const Bytes whole = bytes_of(fixture("progressive.jpg"));
  const std::vector<std::size_t> scans = scans_of(whole);
  REQUIRE(scans.size() == 10);
  for (std::size_t kept = 1; kept < scans.size(); ++kept) {
    CAPTURE(kept);
    Bytes cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(scans[kept]));
    // the tables of the next scan stand before its header
    append(cut, {0xFF, 0xD9});
    CHECK(decode_error(cut) == concat("'x' is a truncated JPEG: after ", kept, kept == 1 ? " scan" : " scans",
                                      " its picture is not complete"));
  }
}

TEST_CASE("a progressive JPEG may leave out coefficients, but no bits of those that it has") {
  // A grey block of 8 x 8. Both Huffman tables have one code, of one bit: nothing follows.
  const auto jpeg = [](std::initializer_list<std::array<std::uint8_t, 3>> scans) {
    Bytes bytes{0xFF, 0xD8, 0xFF, 0xDB, 0, 67, 0};
    bytes.resize(bytes.size() + 64, 1);
    append(bytes, {0xFF, 0xC2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0});
    for (const std::uint8_t table : {0x00, 0x10}) {
      append(bytes, {0xFF, 0xC4, 0, 20, table, 1});
      bytes.resize(bytes.size() + 16, 0);
    }
    for (const auto& [first, last, missing] : scans)
      append(bytes, {0xFF, 0xDA, 0, 8, 1, 1, 0, first, last, missing, 0x7F});
    append(bytes, {0xFF, 0xD9});
    return bytes;
  };
  const Image even = decode_image(jpeg({{0, 0, 0}, {1, 5, 0}}), "x");
  CHECK(even.height == 8);
  CHECK(even.pixels == Bytes(64, 128));
  CHECK(decode_image(jpeg({{0, 0, 0}, {1, 63, 0}}), "x") == even);
  const std::string cut = " its picture is not complete";
  CHECK(decode_error(jpeg({{0, 0, 0}})) == "'x' is a truncated JPEG: after 1 scan" + cut);
  CHECK(decode_error(jpeg({{0, 0, 0}, {1, 5, 1}})) == "'x' is a truncated JPEG: after 2 scans" + cut);
  CHECK(decode_error(jpeg({{0, 0, 1}, {1, 5, 0}})) == "'x' is a truncated JPEG: after 2 scans" + cut);
}

TEST_CASE("a baseline JPEG whose components come in scans of their own needs all of them") {
  Bytes jpeg = bytes_of(fixture("plain.jpg"));
  const std::size_t scan = scans_of(jpeg).at(0);
  REQUIRE(jpeg[scan + 4] == 3);
  jpeg[scan + 3] = 8;  // a header of one component
  jpeg[scan + 4] = 1;
  jpeg.erase(jpeg.begin() + static_cast<std::ptrdiff_t>(scan + 7),
             jpeg.begin() + static_cast<std::ptrdiff_t>(scan + 11));
  CHECK(decode_error(jpeg) == "'x' is a truncated JPEG: after 1 scan its picture is not complete");
}

TEST_CASE("many scans of a large picture are refused") {
  Bytes jpeg = bytes_of(fixture("progressive.jpg"));
  const std::vector<std::size_t> scans = scans_of(jpeg);
  const Bytes header(jpeg.begin() + static_cast<std::ptrdiff_t>(scans[0]),
                     jpeg.begin() + static_cast<std::ptrdiff_t>(scans[0] + 2 + jpeg[scans[0] + 3]));
  Bytes many(jpeg.begin(), jpeg.begin() + static_cast<std::ptrdiff_t>(scans[0]));
  for (int i = 0; i < 100; ++i) append(many, header);
  Bytes comment{0xFF, 0xFE, 0xFF, 0xFF};  // as many bytes as the pixels call for
  comment.resize(comment.size() + 65533);
  for (int i = 0; i < 3; ++i) append(many, comment);
  append(many, {0xFF, 0xD9});
  CHECK(quick_error(claiming(many, 10000, 8000)) ==
        "'x' has over 53 scans of 10000 x 8000 pixels; so many are not read");
}

TEST_CASE("GIF, BMP, WebP and TIFF that are cut are errors, wherever they are cut") {
  for (const char* name : {"really_a_gif.png", "rgb.bmp", "palette.bmp", "lossless.webp", "lossy.webp",
                           "orientation_6.webp", "animation.webp", "grey.tiff", "bits.tiff"}) {
    const std::string file = name;
    if (file.ends_with(".webp") && detail::webp_library().empty()) continue;
    if (file.ends_with(".tiff") && detail::tiff_library().empty()) continue;
    CAPTURE(name);
    const Bytes whole = bytes_of(fixture(name));
    const Image picture = decode_image(whole, "x");
    for (std::size_t n = 4; n < whole.size(); n += std::max<std::size_t>(1, whole.size() / 200)) {
      CAPTURE(n);
      try {  // what stands behind the pixels is no loss
        const Image image = decode_image({whole.data(), n}, "x");
        CHECK(image == picture);
        CHECK(n + 6 >= whole.size());
      } catch (const FormatError& error) {
        CHECK(std::string(error.what()).starts_with("'x' "));
      }
    }
  }
}

TEST_CASE("a GIF whose data is short of its picture is refused") {
  Bytes gif = bytes_of(fixture("really_a_gif.png"));
  gif[8] = 34;  // a screen of 34 rows, and a picture of as many
  const auto at = std::find(gif.begin() + 13 + 768, gif.end(), std::uint8_t{0x2C});
  REQUIRE(at != gif.end());
  at[7] = 34;
  CHECK(decode_error(gif) == "'x' is a truncated GIF: its data ends before the picture does");
}

TEST_CASE("damaged bytes within any format never crash") {
  for (const char* name :
       {"really_a_gif.png", "palette.bmp", "lossless.webp", "lossy.webp", "animation.webp", "grey.tiff",
        "bits.tiff", "pages.tiff", "arithmetic_progressive.jpg", "cmyk.jpg"}) {
    CAPTURE(name);
    const Bytes whole = bytes_of(fixture(name));
    for (std::size_t n = 0; n < whole.size(); n += std::max<std::size_t>(1, whole.size() / 400)) {
      for (const std::uint8_t value : {0x00, 0xFF, 0x7F}) {
        Bytes changed = whole;
        changed[n] = value;
        try {
          const Image image = decode_image(changed, "x");
          CHECK_FALSE(image.empty());
        } catch (const FormatError&) {
        }
      }
    }
  }
}

}  // namespace fer::test
