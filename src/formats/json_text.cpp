// Builds the value from the parser's events, so that anything out of bounds is refused where it occurs.
#include "formats/json_text.h"

#include <algorithm>
#include <unordered_set>

#include "fer/formats/atomic_file.h"

namespace fer {
namespace {

class JsonBuilder : public nlohmann::json_sax<Json> {
 public:
  JsonBuilder(std::string_view text, const std::string& source, const JsonLimits& limits)
      : text_(text), source_(source), limits_(limits) {}

  Json take() { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& text) override {
    // The parser reports a whole number as a float if it needs more than 64 bits.
    const bool whole = text.find_first_of(".eE") == std::string::npos;
    require<JsonRangeError>(!whole, where(), " is out of range: ", excerpt(text));
    return add(value);
  }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& value) override { return add(std::move(value)); }

  bool start_object(std::size_t) override { return open(Json::object()); }
  bool start_array(std::size_t) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    Level& level = open_.back();
    auto& object = members(*level.value);
    require<FormatError>(object.size() < limits_.keys, where_object(), " has more than ", limits_.keys,
                         " keys");
    const bool twice = level.is_known(name);
    level.has_key = true;
    // Bypasses ordered_map's own emplace(), which searches all existing keys.
    object.emplace_back(std::move(name), nullptr);
    require<FormatError>(!twice, where(), " occurs twice");
    return true;
  }

  bool parse_error(std::size_t position, const std::string& token, const Json::exception& error) override {
    constexpr int out_of_range = 406;
    require<JsonRangeError>(error.id != out_of_range, where(), " is out of range: ", excerpt(token));
    const std::size_t begin = position == 0 ? 0 : position - 1;
    const std::string_view word = text_.substr(std::min(begin, text_.size()));
    for (const std::string_view number : {"NaN", "Infinity"}) {
      require<FormatError>(!word.starts_with(number), where(), " is ", number, ", which is not JSON");
    }
    const std::string reason = error.what();
    if (reason.find("UTF-8") != std::string::npos) {
      throw FormatError(concat(is_key_next() ? where_key() : where(), " is not UTF-8"));
    }
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    constexpr std::string_view before = "parse error at ";
    const std::size_t at = reason.find(before);
    const std::string shown = at == std::string::npos ? reason : reason.substr(at + before.size());
    throw FormatError(concat(source_, ": not JSON: ", excerpt(shown, 200)));
  }

 private:
  struct Level {
    Json* value = nullptr;  // stable while open: no sibling is added meanwhile
    bool has_key = false;   // object: a key was read, but not yet its value
    std::unordered_set<std::string> keys = {};

    /// Also adds the key to the set. Small objects need no set.
    bool is_known(const std::string& key) {
      constexpr std::size_t small = 16;
      const auto& object = members(*value);
      if (object.size() < small) {
        return std::any_of(object.begin(), object.end(), [&](const auto& m) { return m.first == key; });
      }
      if (keys.empty()) {
        for (const auto& member : object) keys.insert(member.first);
      }
      return !keys.insert(key).second;
    }
  };
  using Members = Json::object_t::Container;

  static Members& members(Json& object) { return object.get_ref<Json::object_t&>(); }

  template <typename Value>
  bool add(Value&& value) {
    place(Json(std::forward<Value>(value)));
    return true;
  }

  Json* place(Json value) {
    require<FormatError>(++values_ <= limits_.values, source_, ": holds more than ", limits_.values,
                         " values");
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Level& level = open_.back();
    if (level.value->is_array())
      return &level.value->get_ref<Json::array_t&>().emplace_back(std::move(value));
    level.has_key = false;
    Json& member = members(*level.value).back().second;
    member = std::move(value);
    return &member;
  }

  bool open(Json value) {
    require<FormatError>(open_.size() < limits_.depth, source_, ": is nested more than ", limits_.depth,
                         " levels deep");
    open_.push_back({place(std::move(value))});
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  bool is_key_next() const {
    return !open_.empty() && open_.back().value->is_object() && !open_.back().has_key;
  }

  /// "samples[3].label", for the first `depth` open levels.
  std::string path(std::size_t depth) const {
    std::string text;
    for (std::size_t i = 0; i < depth; ++i) {
      const Json& value = *open_[i].value;
      if (value.is_array()) {
        const bool inside = i + 1 < open_.size();  // inside the last item of this level
        text += concat("[", value.size() - (inside ? 1 : 0), "]");
      } else if (!value.empty()) {
        text += (text.empty() ? "" : ".") + excerpt(members(*open_[i].value).back().first);
      }
    }
    return text;
  }

  /// "run.json: 'training.lr'": the value being read.
  std::string where() const { return named(path(open_.size())); }
  /// The object or list being read.
  std::string where_object() const { return named(path(open_.size() - 1)); }
  std::string where_key() const {
    const std::string object = path(open_.size() - 1);
    return concat(source_, ": a key", object.empty() ? "" : " of '" + object + "'");
  }
  std::string named(const std::string& path) const {
    return path.empty() ? source_ + ": the value" : concat(source_, ": '", path, "'");
  }

  const std::string_view text_;
  const std::string& source_;
  const JsonLimits& limits_;
  Json root_;
  std::vector<Level> open_;
  std::size_t values_ = 0;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& source, const JsonLimits& limits) {
  require<FormatError>(text.size() <= limits.bytes, source, ": has ", text.size(), " bytes of JSON; at most ",
                       limits.bytes, " are read");
  JsonBuilder builder(text, source, limits);
  Json::sax_parse(text, &builder);
  return builder.take();
}

Json read_json(const std::filesystem::path& path, const JsonLimits& limits) {
  const std::vector<std::byte> bytes = read_file(path, limits.bytes);
  return parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, path.string(), limits);
}

bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto byte = [&](std::size_t at) {
      return at < text.size() ? static_cast<unsigned>(static_cast<unsigned char>(text[at])) : 0u;
    };
    const unsigned first = byte(i);
    const std::size_t length = first < 0x80         ? 1
                               : first >> 5 == 0x6  ? 2
                               : first >> 4 == 0xE  ? 3
                               : first >> 3 == 0x1E ? 4
                                                    : 0;
    if (length == 0) return false;
    unsigned code = length == 1 ? first : first & (0x7Fu >> length);
    for (std::size_t k = 1; k < length; ++k) {
      if (byte(i + k) >> 6 != 0x2) return false;
      code = code << 6 | (byte(i + k) & 0x3F);
    }
    constexpr unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = code >= 0xD800 && code < 0xE000;
    if (code < least[length] || surrogate || code > 0x10FFFF) return false;
    i += length;
  }
  return true;
}

std::string excerpt(std::string_view text, std::size_t most) {
  std::string shown;
  for (const char c : text.substr(0, most)) {
    const auto byte = static_cast<unsigned char>(c);
    shown += byte < 0x20 || byte == 0x7F ? '?' : c;
  }
  if (text.size() > most) {
    // Do not cut a character in half.
    while (!shown.empty() && static_cast<unsigned char>(shown.back()) >> 6 == 0x2) shown.pop_back();
    if (!shown.empty() && static_cast<unsigned char>(shown.back()) >= 0xC0) shown.pop_back();
    shown += "...";
  }
  if (is_utf8(shown)) return shown;
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) >= 0x80) c = '?';
  }
  return shown;
}

std::string excerpt_of(const Json& value) {
  return excerpt(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

}  // namespace fer
