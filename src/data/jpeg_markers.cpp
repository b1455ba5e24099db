// The segments of a JPEG (ITU-T T.81 annex B).
//
// Decoders show a truncated JPEG with a grey or coarse remainder. A data set with such files should be
// repaired, not trained on, so they are detected here. So are kinds of JPEG that a decoder would call
// damaged, and tables that would crash stb.
#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "data/image_markers.h"
#include "fer/error.h"

namespace fer::detail {
namespace {

using namespace std::string_view_literals;

constexpr int start_of_image = 0xD8, end_of_image = 0xD9, start_of_scan = 0xDA;
constexpr std::int64_t most_scanned_pixels = std::int64_t{1} << 32;

/// SOF0 to SOF15, except for three markers with other meanings.
bool is_frame(int marker) {
  return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 && marker != 0xCC;
}

class JpegWalk {
 public:
  JpegWalk(ImageBytes bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  ImageMarkers read() {
    markers_.format = ImageFormat::jpeg;
    while (true) {
      const int marker = next_marker();
      const bool within_scan = marker >= 0xD0 && marker <= 0xD7;
      if (in_scan_ && !within_scan) {
        markers_.scan_end = marker_at_;
        in_scan_ = false;
      }
      if (marker == end_of_image) break;
      if (marker == 0x01 || (marker >= 0xD0 && marker <= start_of_image)) continue;  // without a length
      read_segment(marker);
    }
    require<FormatError>(!components_.empty(), "'", name_, "' is a damaged JPEG: it has no frame header");
    require_complete();
    require<FormatError>(
        components_.size() != 4 || adobe_, "'", name_,
        "' is a four-component JPEG without an Adobe marker: its colours (CMYK or not, inverted "
        "or not) are unknown");
    return markers_;
  }

 private:
  /// The bits of each coefficient that are still missing; `unseen` before its first scan.
  struct Component {
    static constexpr int unseen = 99;
    int id = 0;
    std::array<int, 64> missing;
  };

  /// The second byte of the next marker; skips entropy-coded data and fill bytes.
  int next_marker() {
    while (true) {
      const void* found =
          at_ < bytes_.size() ? std::memchr(bytes_.data() + at_, 0xFF, bytes_.size() - at_) : nullptr;
      if (!found) throw_truncated(name_, "JPEG", "its end marker is missing");
      at_ = marker_at_ = static_cast<std::size_t>(static_cast<const std::uint8_t*>(found) - bytes_.data());
      while (at_ < bytes_.size() && bytes_[at_] == 0xFF) ++at_;
      if (at_ >= bytes_.size()) throw_truncated(name_, "JPEG", "its end marker is missing");
      if (const int marker = bytes_[at_++]; marker != 0) return marker;  // FF 00 is data
    }
  }

  void read_segment(int marker) {
    if (at_ + 2 > bytes_.size()) throw_truncated(name_, "JPEG", "a segment is cut");
    const std::size_t length = big_endian(bytes_, at_, 2);
    if (length < 2 || at_ + length > bytes_.size()) throw_truncated(name_, "JPEG", "a segment is cut");
    const ImageBytes body = bytes_.subspan(at_ + 2, length - 2);
    if (marker == 0xE1 && starts_with(body, "Exif\0\0"sv)) {
      markers_.orientation = exif_orientation(body);
    } else if (marker == 0xEE && starts_with(body, "Adobe")) {
      adobe_ = true;
    } else if (marker == 0xC4) {
      check_huffman_tables(body);
    } else if (is_frame(marker)) {
      read_frame(marker, body);
    } else if (marker == start_of_scan) {
      read_scan(body);
      in_scan_ = true;
    }
    at_ += length;
  }

  void read_frame(int marker, ImageBytes body) {
    require<FormatError>(components_.empty(), "'", name_, "' is a damaged JPEG: it has two frame headers");
    require<FormatError>(body.size() >= 6 && body.size() >= 6 + 3 * std::size_t{body[5]}, "'", name_,
                         "' is a damaged JPEG: its frame header is cut");
    const auto unsupported = [&](const char* kind) {
      throw FormatError(
          concat("'", name_, "' is a ", kind, ", which is not supported; convert it to an ordinary one"));
    };
    const int process = marker & 3;  // 0, 1: sequential; 2: progressive; 3: lossless
    if (process == 3) unsupported("lossless JPEG");
    if (marker & 4) unsupported("hierarchical JPEG");
    if (body[0] != 8) unsupported("JPEG of more than 8 bits a sample");
    markers_.arithmetic = marker >= 0xC8;
    markers_.height = big_endian(body, 1, 2);
    markers_.width = big_endian(body, 3, 2);
    markers_.components = body[5];
    for (std::size_t i = 0; i < body[5]; ++i) {
      components_.push_back({body[6 + 3 * i], {}});
      components_.back().missing.fill(Component::unseen);
    }
    progressive_ = process == 2;
    require_pixel_count(markers_.width, markers_.height, name_);
    // each block of 8 x 8 takes at least one bit of Huffman code
    if (markers_.arithmetic) {
      require_plausible_size(markers_.width, markers_.height, bytes_.size(), name_);
    } else {
      require_capacity(markers_.width * markers_.height, 512, bytes_.size(), markers_, name_);
    }
  }

  void read_scan(ImageBytes body) {
    const std::size_t count = body.empty() ? 0 : body[0];
    require<FormatError>(count >= 1 && body.size() >= 4 + 2 * count, "'", name_,
                         "' is a damaged JPEG: a scan header is cut");
    // A small file can request many passes over a large picture.
    ++scans_;
    require<FormatError>(scans_ * markers_.width * markers_.height <= most_scanned_pixels, "'", name_,
                         "' has over ", scans_ - 1, " scans of ", markers_.width, " x ", markers_.height,
                         " pixels; so many are not read");
    const int first = progressive_ ? std::min<int>(body[1 + 2 * count], 63) : 0;
    const int last = progressive_ ? std::min<int>(body[2 + 2 * count], 63) : 63;
    const int missing = progressive_ ? body[3 + 2 * count] & 15 : 0;
    for (std::size_t i = 0; i < count; ++i) {
      const auto component = std::find_if(components_.begin(), components_.end(),
                                          [&](const Component& c) { return c.id == body[1 + 2 * i]; });
      require<FormatError>(component != components_.end(), "'", name_,
                           "' is a damaged JPEG: a scan is of a component that the frame header lacks");
      for (int k = first; k <= last; ++k) component->missing[static_cast<std::size_t>(k)] = missing;
    }
  }

  /// A file may be cut between two scans, which leaves a coarse picture or one without colours. If every
  /// component lacks the same coefficients, and the others are complete, the file was written that way on
  /// purpose, unless it has only the means.
  void require_complete() const {
    const auto& all = components_.front().missing;
    const bool meant =
        all[0] == 0 && std::find(all.begin() + 1, all.end(), 0) != all.end() &&
        std::all_of(all.begin(), all.end(), [](int m) { return m == 0 || m == Component::unseen; }) &&
        std::all_of(components_.begin(), components_.end(),
                    [&all](const Component& c) { return c.missing == all; });
    if (meant) return;
    for (const Component& c : components_) {
      const auto lacking = std::count_if(c.missing.begin(), c.missing.end(), [](int m) { return m > 0; });
      require<FormatError>(lacking == 0, "'", name_, "' is a truncated JPEG: after ", scans_,
                           scans_ == 1 ? " scan" : " scans", " its picture is not complete");
    }
  }

  /// Older versions of stb write past the end of a table that has more codes than symbols.
  void check_huffman_tables(ImageBytes body) const {
    while (!body.empty()) {
      std::size_t codes = 0;
      for (std::size_t length = 1; length <= 16 && length < body.size(); ++length) codes += body[length];
      require<FormatError>(codes <= 256, "'", name_, "' is a damaged JPEG: a Huffman table has ", codes,
                           " codes, more than there are symbols");
      require<FormatError>(body.size() >= 17 + codes, "'", name_,
                           "' is a damaged JPEG: a Huffman table is cut");
      body = body.subspan(17 + codes);
    }
  }

  ImageBytes bytes_;
  const std::string& name_;
  std::size_t at_ = 2, marker_at_ = 0;
  bool in_scan_ = false, progressive_ = false, adobe_ = false;
  std::int64_t scans_ = 0;
  ImageMarkers markers_;
  std::vector<Component> components_;
};

}  // namespace

ImageMarkers read_jpeg_markers(ImageBytes bytes, const std::string& name) {
  return JpegWalk(bytes, name).read();
}

}  // namespace fer::detail
