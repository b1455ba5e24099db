// Texts and tables as found in practice: separators, quotes, line ends, encodings, gzip, and files of other
// kinds.
#include "data/sets/csv.h"

#include <zlib.h>

#include "tests/data/helpers.h"

namespace fer::test {
namespace {

using detail::CsvFile;
using detail::CsvTable;
using detail::TextFile;
using Fields = std::vector<std::string_view>;

std::string gzip(const std::string& text) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  deflate(&stream, Z_FINISH);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

std::string utf16(const std::u16string& text, bool big) {
  std::string bytes;
  for (char16_t unit : text) {
    const char high = static_cast<char>(unit >> 8), low = static_cast<char>(unit & 0xFF);
    bytes += big ? std::string{high, low} : std::string{low, high};
  }
  return bytes;
}

TEST_CASE("csv: fields") {
  using detail::csv_fields;
  CHECK(csv_fields("a, b ,c") == Fields{"a", "b", "c"});
  CHECK(csv_fields("a,,") == Fields{"a", "", ""});
  CHECK(csv_fields("\"a,b\", \"c\" ,d\"e\"") == Fields{"a,b", "c", "d\"e\""});
  CHECK(csv_fields("\"(0, 0, 48, 48)\",1") == Fields{"(0, 0, 48, 48)", "1"});
  CHECK(csv_fields("a;b,c;d", ';') == Fields{"a", "b,c", "d"});
  CHECK(csv_fields("a\t\tb", '\t') == Fields{"a", "", "b"});
  CHECK(detail::csv_text("5\"\" high") == "5\" high");
}

TEST_CASE("csv: the same table in many forms") {
  const TempFolder folder;
  const fs::path path = folder / "t.csv";
  const std::string table = "name,x\n\"a, b\",1\nc,2\n";
  std::string bytes = table;
  SUBCASE("plain") {}
  SUBCASE("CRLF") {
    bytes = "name,x\r\n\"a, b\",1\r\nc,2\r\n";
  }
  SUBCASE("CR alone") {
    bytes = "name,x\r\"a, b\",1\rc,2";
  }
  SUBCASE("byte order mark") {
    bytes = "\xEF\xBB\xBF" + table;
  }
  SUBCASE("blank lines") {
    bytes = "\n\nname,x\n \n\"a, b\",1\nc,2\n\n\n";
  }
  SUBCASE("semicolons") {
    bytes = "name;x\na, b;1\nc;2\n";
  }
  SUBCASE("tabs") {
    bytes = "name\tx\na, b\t1\nc\t2\n";
  }
  SUBCASE("Excel's first line") {
    bytes = "sep=;\nname;x\na, b;1\nc;2\n";
  }
  SUBCASE("gzip") {
    bytes = gzip(table);
  }
  SUBCASE("gzip in two members, and zeros") {
    bytes = gzip(table.substr(0, 9)) + gzip(table.substr(9)) + std::string(20, '\0');
  }
  SUBCASE("UTF-16, little") {
    bytes = "\xFF\xFE" + utf16(u"name,x\n\"a, b\",1\nc,2\n", false);
  }
  SUBCASE("UTF-16, big") {
    bytes = "\xFE\xFF" + utf16(u"name,x\n\"a, b\",1\nc,2\n", true);
  }
  SUBCASE("UTF-16 without a mark") {
    bytes = utf16(u"name,x\n\"a, b\",1\nc,2\n", false);
  }
  SUBCASE("UTF-16, big, without a mark") {
    bytes = utf16(u"name,x\n\"a, b\",1\nc,2\n", true);
  }
  SUBCASE("UTF-16 in gzip") {
    bytes = gzip("\xFF\xFE" + utf16(u"name;x\r\na, b;1\r\nc;2\r\n", false));
  }
  write_text(path, bytes);
  const CsvTable csv(path);
  REQUIRE(csv.size() == 2);
  CHECK(csv.column("NAME") == 0);
  CHECK(csv.fields(0) == Fields{"a, b", "1"});
  CHECK(csv.fields(1) == Fields{"c", "2"});
}

TEST_CASE("csv: lines are counted as editors count them") {
  const TempFolder folder;
  const fs::path path = folder / "t.csv";
  write_text(path, "\nname,x\n\"two\nlines\",1\n\nbad\n");
  const CsvTable csv(path);
  REQUIRE(csv.size() == 2);
  CHECK(csv.fields(0) == Fields{"two\nlines", "1"});
  CHECK(message_of<DataError>([&] { csv.fields(1); }) == path.string() + ":6: expected 2 fields, got 1");
  CHECK(message_of<DataError>([&] { csv.column("y"); }) ==
        path.string() + ":2: the header has no column 'y'; it has 'name', 'x'");
  write_text(path, "name,x\na,1\n\"b,2\nc,3\n");
  CHECK(message_of<DataError>([&] { CsvFile file(path); }) ==
        path.string() + ":3: a quote is opened and never closed");
  write_text(path, " \n\n");
  CHECK(message_of<DataError>([&] { CsvTable table(path); }) == path.string() + ": is empty");
}

TEST_CASE("csv: numbers, with a decimal comma where commas do not separate") {
  const TempFolder folder;
  write_text(folder / "a.csv", "x;y\n");
  CHECK(CsvFile(folder / "a.csv").number("-0,25") == -0.25);
  write_text(folder / "b.csv", "x,y\n");
  CHECK(CsvFile(folder / "b.csv").number("0.5") == 0.5);
  CHECK(CsvFile(folder / "b.csv").number("half") == std::nullopt);
}

TEST_CASE("csv: letters beyond ASCII") {
  const TempFolder folder;
  write_text(folder / "a.csv", "\xFF\xFE" + utf16(u"\u00E9,\u4E2D,\U0001F600", false));
  CHECK(TextFile(folder / "a.csv").text() == "\xC3\xA9,\xE4\xB8\xAD,\xF0\x9F\x98\x80");
}

TEST_CASE("csv: files that are something else") {
  const TempFolder folder;
  const fs::path path = folder / "t.csv";
  const auto cause = [&](const std::string& bytes) {
    write_text(path, bytes);
    const std::string message = message_of<FormatError>([&] { TextFile file(path); }),
                      name = "'" + path.string() + "' ";
    return message.starts_with(name) ? message.substr(name.size()) : message;
  };
  using namespace std::string_literals;
  CHECK(cause("PK\x03\x04...") == "is a ZIP archive, as spreadsheets are, too; unpack it, or save it as csv");
  CHECK(cause("\xFD\x37zXZ\0..."s) == "is compressed by xz; unpack it first");
  CHECK(cause("BZh91AY") == "is compressed by bzip2; unpack it first");
  CHECK(cause("\x28\xB5\x2F\xFD....") == "is compressed by zstd; unpack it first");
  CHECK(cause(gzip(gzip("a,b"))) == "is compressed by gzip twice; unpack it first");
  CHECK(cause(gzip(std::string(257, 'x') + "ustar\0"s + std::string(250, 'x'))) ==
        "is a tar archive; unpack it first");
  CHECK(cause("\xFF\xFE\0\0a\0\0\0"s) == "is UTF-32; save it as UTF-8");
  CHECK(cause("<!DOCTYPE html><html>") == "is a web page: its download went wrong");
  CHECK(cause("version https://git-lfs.github.com/spec/v1\n") ==
        "is a Git LFS pointer and not the file itself; git lfs pull brings it");
  CHECK(cause("a,b\n1,2\0\n"s) == "is not text: it contains a zero byte, in line 2");
  CHECK(cause("\xFF\xFE"
              "a\0,"s) == "is UTF-16 with an odd number of bytes: it is cut off");
  CHECK(cause("\xFF\xFE"
              "a\0\x00\xD8"s) == "is damaged UTF-16 at byte 2");
  const std::string packed = gzip("name,x\n" + std::string(3000, 'y'));
  CHECK(cause(packed.substr(0, packed.size() - 9)) == "is a truncated gzip file");
  CHECK(cause(packed.substr(0, 12)) == "is a truncated gzip file");
  std::string damaged = packed;
  damaged[damaged.size() - 7] ^= 1;
  CHECK(cause(damaged) == "is a damaged gzip file: incorrect data check");
  CHECK(cause(packed + "more") == "is a damaged gzip file: incorrect header check");
  CHECK(message_of<IoError>([&] { TextFile file(folder.path()); }) ==
        "cannot read '" + folder.str() + "': Is a directory");
}

TEST_CASE("csv: a file that unpacks to too much is refused") {
  const TempFolder folder;
  std::string bomb;
  const std::string member = gzip(std::string(std::size_t{64} << 20, ' '));
  for (int i = 0; i < 9; ++i) bomb += member;
  write_text(folder / "t.csv", bomb);
  CHECK(message_of<FormatError>([&] { TextFile file(folder / "t.csv"); }) ==
        "'" + (folder / "t.csv").string() + "' unpacks to more than 512 MiB; unpack it with gunzip first");
}

}  // namespace
}  // namespace fer::test
