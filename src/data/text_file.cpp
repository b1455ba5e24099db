// The first bytes of a text file decide how it is read, or why it is refused.
#include "data/text_file.h"

#include <zlib.h>

#include <algorithm>
#include <utility>

#include "fer/error.h"

namespace fer::detail {
namespace {

constexpr std::size_t most_inflated = std::size_t{512} << 20;

/// Reads consecutive gzip members, as gzip(1) does; zeros may follow.
class GzipReader {
 public:
  GzipReader(std::string_view bytes, const std::string& name) : name_(name), left_(bytes) {
    require<FormatError>(inflateInit2(&stream_, 15 + 16) == Z_OK, "'", name_,
                         "': zlib is out of memory");  // 15: window bits, 16: gzip
  }
  ~GzipReader() { inflateEnd(&stream_); }
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  std::string text() {
    do {
      read_member();
      left_.remove_prefix(std::min(left_.find_first_not_of('\0'), left_.size()));
      inflateReset(&stream_);
    } while (!left_.empty());
    return std::move(text_);
  }

 private:
  void read_member() {
    for (int state = Z_OK; state != Z_STREAM_END;) {
      stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(left_.data()));
      stream_.avail_in = static_cast<uInt>(std::min<std::size_t>(left_.size(), 1 << 20));
      stream_.next_out = reinterpret_cast<Bytef*>(piece_.data());
      stream_.avail_out = static_cast<uInt>(piece_.size());
      state = inflate(&stream_, Z_NO_FLUSH);
      const std::size_t written = piece_.size() - stream_.avail_out;
      left_.remove_prefix(
          static_cast<std::size_t>(reinterpret_cast<const char*>(stream_.next_in) - left_.data()));
      require<FormatError>(text_.size() + written <= most_inflated, "'", name_,
                           "' unpacks to more than 512 MiB; unpack it with gunzip first");
      text_.append(piece_, 0, written);
      require<FormatError>(state == Z_OK || state == Z_STREAM_END || state == Z_BUF_ERROR, "'", name_,
                           "' is a damaged gzip file: ", stream_.msg ? stream_.msg : "unknown cause");
      require<FormatError>(state != Z_BUF_ERROR || !left_.empty(), "'", name_, "' is a truncated gzip file");
    }
  }

  std::string name_;
  std::string_view left_;
  z_stream stream_{};
  std::string piece_ = std::string(std::size_t{1} << 18, '\0'), text_;
};

void append_utf8(std::string& text, std::uint32_t code) {
  const auto put = [&text](std::uint32_t byte) { text.push_back(static_cast<char>(byte)); };
  if (code < 0x80) return put(code);
  if (code < 0x800) {
    put(0xC0 | code >> 6);
  } else {
    if (code < 0x10000) {
      put(0xE0 | code >> 12);
    } else {
      put(0xF0 | code >> 18);
      put(0x80 | (code >> 12 & 0x3F));
    }
    put(0x80 | (code >> 6 & 0x3F));
  }
  put(0x80 | (code & 0x3F));
}

std::string from_utf16(std::string_view bytes, bool big_endian, const std::string& name) {
  require<FormatError>(bytes.size() % 2 == 0, "'", name,
                       "' is UTF-16 with an odd number of bytes: it is cut off");
  const auto unit = [&](std::size_t i) {
    const auto high = static_cast<std::uint8_t>(bytes[big_endian ? i : i + 1]);
    const auto low = static_cast<std::uint8_t>(bytes[big_endian ? i + 1 : i]);
    return std::uint32_t{high} << 8 | low;
  };
  std::string text;
  text.reserve(bytes.size() / 2);
  for (std::size_t i = 0; i < bytes.size(); i += 2) {
    std::uint32_t code = unit(i);
    if (code >= 0xD800 && code < 0xE000) {  // half of a surrogate pair
      const std::uint32_t second = code < 0xDC00 && i + 2 < bytes.size() ? unit(i + 2) : 0;
      require<FormatError>(second >= 0xDC00 && second < 0xE000, "'", name, "' is damaged UTF-16 at byte ", i);
      code = 0x10000 + ((code - 0xD800) << 10) + (second - 0xDC00);
      i += 2;
    }
    append_utf8(text, code);
  }
  return text;
}

/// Why a file with this beginning is refused; "" if it may be a text.
std::string cause_not_to_read(std::string_view text) {
  using namespace std::string_view_literals;
  constexpr std::pair<std::string_view, std::string_view> beginnings[] = {
      {"PK\x03\x04"sv, "is a ZIP archive, as spreadsheets are, too; unpack it, or save it as csv"},
      {"\xFD\x37zXZ\0"sv, "is compressed by xz; unpack it first"},
      {"BZh"sv, "is compressed by bzip2; unpack it first"},
      {"\x28\xB5\x2F\xFD"sv, "is compressed by zstd; unpack it first"},
      {"7z\xBC\xAF\x27\x1C"sv, "is a 7z archive; unpack it first"},
      {"Rar!"sv, "is a RAR archive; unpack it first"},
      {"\x1F\x8B"sv, "is compressed by gzip twice; unpack it first"},
      {"\xD0\xCF\x11\xE0"sv, "is a spreadsheet; save it as csv"},
      {"PAR1"sv, "is a Parquet file; save it as csv"},
      {"\x89HDF"sv, "is an HDF5 file; save it as csv"},
      {"\xFF\xFE\0\0"sv, "is UTF-32; save it as UTF-8"},
      {"\0\0\xFE\xFF"sv, "is UTF-32; save it as UTF-8"},
      {"version https://git-lfs"sv, "is a Git LFS pointer and not the file itself; git lfs pull brings it"}};
  for (const auto& [beginning, cause] : beginnings) {
    if (text.starts_with(beginning)) return std::string(cause);
  }
  constexpr std::size_t tar_mark = 257;
  if (text.size() > tar_mark && text.substr(tar_mark).starts_with("ustar"))
    return "is a tar archive; unpack it first";
  const std::string start = to_lower(text.substr(0, 15));
  if (start.starts_with("<!doctype html") || start.starts_with("<html"))
    return "is a web page: its download went wrong";
  return "";
}

}  // namespace

TextFile::TextFile(const std::filesystem::path& path) : file_(path), text_(file_.text()) {
  const std::string name = path.string();
  if (text_.starts_with("\x1F\x8B")) text_ = decoded_ = GzipReader(text_, name).text();
  const std::string cause = cause_not_to_read(text_);
  require<FormatError>(cause.empty(), "'", name, "' ", cause);
  const bool marked_little = text_.starts_with("\xFF\xFE"), marked_big = text_.starts_with("\xFE\xFF");
  // without a byte order mark, the zero byte of the first letter decides
  const bool little = marked_little || (text_.size() > 1 && text_[0] != '\0' && text_[1] == '\0');
  const bool big = marked_big || (text_.size() > 1 && text_[0] == '\0' && text_[1] != '\0');
  if (little || big) {
    decoded_ = from_utf16(text_.substr(marked_little || marked_big ? 2 : 0), big, name);
    text_ = decoded_;
  }
  constexpr std::string_view mark = "\xEF\xBB\xBF";
  if (text_.starts_with(mark)) text_.remove_prefix(mark.size());
  if (const std::size_t zero = text_.find('\0'); zero != std::string_view::npos) {
    const auto before = text_.substr(0, zero);
    throw FormatError(concat("'", name, "' is not text: it contains a zero byte, in line ",
                             1 + std::count(before.begin(), before.end(), '\n')));
  }
}

}  // namespace fer::detail
