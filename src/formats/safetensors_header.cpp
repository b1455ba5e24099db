#include "formats/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

namespace fer::detail {
namespace {

using Json = nlohmann::json;

struct Code {
  std::string_view code, type;  // names in safetensors and in PyTorch, for find_element_type()
};
constexpr std::array<Code, 17> codes{{{"F64", "float64"},
                                      {"F32", "float32"},
                                      {"F16", "float16"},
                                      {"BF16", "bfloat16"},
                                      {"I64", "int64"},
                                      {"I32", "int32"},
                                      {"U8", "uint8"},
                                      {"BOOL", "bool"},
                                      {"I8", "int8"},
                                      {"I16", "int16"},
                                      {"U16", "uint16"},
                                      {"U32", "uint32"},
                                      {"F8_E4M3", "float8_e4m3fn"},
                                      {"F8_E5M2", "float8_e5m2"},
                                      {"F8_E8M0", "float8_e8m0fnu"},
                                      {"U64", "uint64"},
                                      {"C64", "complex64"}}};

std::string_view code_of(const ElementType& type) {
  for (const Code& known : codes) {
    if (known.type == type.name) return known.code;
  }
  throw TypeError("safetensors: unknown element type");
}

std::string known_codes() {
  std::string text;
  for (const Code& known : codes) text += concat(text.empty() ? "" : ", ", known.code);
  return text;
}

/// Handles the parser's events one by one, so that memory is bounded by the header's contents, and anything
/// that a header must not have is refused where it occurs.
class HeaderReader : public nlohmann::json_sax<Json> {
 public:
  explicit HeaderReader(const std::string& file) : file_(file) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_integer(number_integer_t value) override { unexpected(std::to_string(value)); }
  bool number_float(number_float_t, const string_t& text) override { unexpected(text); }
  bool binary(binary_t&) override { unexpected("binary data"); }

  bool number_unsigned(number_unsigned_t value) override {
    if (at_ != At::shape && at_ != At::offsets) unexpected(std::to_string(value));
    numbers_.push_back(value);
    if (numbers_.size() > 64) unexpected("a list of more than 64 numbers");
    return true;
  }

  bool string(string_t& value) override {
    if (at_ == At::metadata) {
      header_.metadata.emplace(key_, value);
    } else if (at_ == At::entry && key_ == "dtype") {
      take_dtype(value);
    } else {
      unexpected("a string");
    }
    return true;
  }

  bool start_object(std::size_t) override {
    if (at_ == At::start) {
      at_ = At::top;
    } else if (at_ == At::top) {
      at_ = key_ == "__metadata__" ? At::metadata : At::entry;
      inner_keys_.clear();
      if (at_ == At::entry) {
        entry_ = {};
        entry_.name = key_;
      }
    } else {
      unexpected("an object");
    }
    return true;
  }

  bool key(string_t& value) override {
    auto& seen = at_ == At::top ? names_ : inner_keys_;
    require<FormatError>(seen.insert(value).second, where(),
                         at_ == At::top ? "the header names '" : "names '", value, "' twice");
    const bool known = value == "dtype" || value == "shape" || value == "data_offsets";
    require<FormatError>(at_ != At::entry || known, where(), "has the unknown entry '", value, "'");
    key_ = std::move(value);
    return true;
  }

  bool end_object() override {
    if (at_ == At::entry) finish_entry();
    at_ = at_ == At::top ? At::end : At::top;
    return true;
  }

  bool start_array(std::size_t) override {
    if (at_ != At::entry || key_ == "dtype") unexpected("a list");
    at_ = key_ == "shape" ? At::shape : At::offsets;
    numbers_.clear();
    return true;
  }

  bool end_array() override {
    if (at_ == At::shape) {
      take_shape();
    } else {
      require<FormatError>(numbers_.size() == 2, where(), "has ", numbers_.size(), " data_offsets, not two");
      entry_.begin = numbers_[0];
      entry_.end = numbers_[1];
    }
    at_ = At::entry;
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception&) override {
    throw FormatError(concat(file_, ": the header is not valid JSON at byte ", position));
  }

 private:
  enum class At { start, top, metadata, entry, shape, offsets, end };

  /// "model.safetensors: tensor 'a' ", or without the tensor.
  std::string where() const {
    const bool inside = at_ == At::entry || at_ == At::shape || at_ == At::offsets;
    return inside ? concat(file_, ": tensor '", entry_.name, "' ")
                  : concat(file_, at_ == At::metadata ? ": __metadata__ " : ": ");
  }

  [[noreturn]] void unexpected(std::string_view what) const {
    if (at_ == At::start) throw FormatError(concat(where(), "the header is ", what, ", not an object"));
    const char* verb = at_ == At::top ? "the header has " : "has ";
    throw FormatError(concat(where(), verb, what, " as '", key_, "'"));
  }

  void take_dtype(const std::string& code) {
    const auto known =
        std::find_if(codes.begin(), codes.end(), [&](const Code& c) { return c.code == code; });
    require<FormatError>(known != codes.end(), where(), "has the unknown element type '", code,
                         "'; known are ", known_codes());
    entry_.type = find_element_type(known->type);
    entry_.dtype = entry_.type->read_as;
  }

  void take_shape() {
    require<FormatError>(numbers_.size() <= Shape::max_rank, where(), "has ", numbers_.size(),
                         " dimensions; at most ", Shape::max_rank, " are supported");
    std::vector<std::int64_t> extents;
    std::uint64_t product = 1;
    for (const std::uint64_t extent : numbers_) {
      constexpr std::uint64_t most = std::uint64_t{1} << 56;
      require<FormatError>(extent <= most && product <= most / std::max<std::uint64_t>(extent, 1), where(),
                           "is larger than any memory");
      product *= std::max<std::uint64_t>(extent, 1);
      extents.push_back(static_cast<std::int64_t>(extent));
    }
    entry_.shape = Shape(std::span<const std::int64_t>(extents));
  }

  void finish_entry() {
    for (const char* needed : {"dtype", "shape", "data_offsets"}) {
      require<FormatError>(inner_keys_.count(needed) == 1, where(), "has no '", needed, "'");
    }
    require<FormatError>(entry_.begin <= entry_.end, where(), "ends at byte ", entry_.end,
                         ", before it begins at ", entry_.begin);
    const std::uint64_t needed = static_cast<std::uint64_t>(entry_.shape.numel()) * entry_.type->bytes;
    require<FormatError>(entry_.end - entry_.begin == needed, where(), "of shape ", entry_.shape,
                         " and type ", entry_.type->name, " needs ", needed, " bytes, its offsets give it ",
                         entry_.end - entry_.begin);
    header_.entries.push_back(std::move(entry_));
  }

  const std::string& file_;
  SafetensorsHeader header_;
  At at_ = At::start;
  std::string key_;
  SafetensorsEntry entry_;
  std::vector<std::uint64_t> numbers_;
  std::unordered_set<std::string> names_, inner_keys_;
};

/// Tensors must tile the data. Overlaps and gaps mark a damaged or forged file.
void check_tiling(const std::vector<SafetensorsEntry>& entries, std::uint64_t data_bytes,
                  const std::string& file) {
  std::vector<const SafetensorsEntry*> sorted;
  sorted.reserve(entries.size());
  for (const SafetensorsEntry& entry : entries) sorted.push_back(&entry);
  std::sort(sorted.begin(), sorted.end(), [](const SafetensorsEntry* a, const SafetensorsEntry* b) {
    return std::pair(a->begin, a->end) < std::pair(b->begin, b->end);
  });
  std::uint64_t end = 0;
  const SafetensorsEntry* before = nullptr;
  for (const SafetensorsEntry* entry : sorted) {
    require<FormatError>(entry->end <= data_bytes, file, ": tensor '", entry->name, "' ends at byte ",
                         entry->end, " of the data, which has ", data_bytes);
    require<FormatError>(entry->begin >= end, file, ": tensor '", entry->name, "' begins at byte ",
                         entry->begin, " and overlaps '", before ? before->name : "", "', which ends at ",
                         end);
    require<FormatError>(entry->begin == end, file, ": bytes ", end, " to ", entry->begin,
                         " of the data belong to no tensor");
    end = entry->end;
    before = entry;
  }
  require<FormatError>(end == data_bytes, file, ": bytes ", end, " to ", data_bytes,
                       " of the data belong to no tensor");
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, std::uint64_t data_bytes,
                                           const std::string& file) {
  HeaderReader reader(file);
  Json::sax_parse(text, &reader);
  SafetensorsHeader header = reader.take();
  check_tiling(header.entries, data_bytes, file);
  return header;
}

std::string description_of(const SafetensorsEntry& entry) {
  std::string text = concat(entry.name, '\0', code_of(*entry.type));
  for (const std::int64_t extent : entry.shape) text += concat(' ', extent);
  return text;
}

std::string write_safetensors_header(const SafetensorsHeader& header, const std::string& file) {
  std::string text = "{";
  const auto append = [&](const std::string& key, const Json& value) {
    if (text.size() > 1) text += ',';
    try {
      text += Json(key).dump() + ':' + value.dump();
    } catch (const Json::exception&) {
      throw FormatError(concat(file, ": the name of a tensor or the metadata is not UTF-8"));
    }
  };
  if (!header.metadata.empty()) append("__metadata__", Json(header.metadata));
  for (const SafetensorsEntry& entry : header.entries) {
    require<FormatError>(entry.name != "__metadata__", file, ": a tensor cannot be called '__metadata__'");
    append(entry.name, Json{{"dtype", code_of(*entry.type)},
                            {"shape", std::vector<std::int64_t>(entry.shape.begin(), entry.shape.end())},
                            {"data_offsets", {entry.begin, entry.end}}});
  }
  text += '}';
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

}  // namespace fer::detail
