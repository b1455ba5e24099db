// The head of every JSON text that fer writes tells a reader what the text holds and which keys to expect:
//
//   {"document": "fer evaluation", "version": 2, ...}
//
// The version is incremented when a key is removed or changes its meaning, but not for a new key.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "fer/error.h"

namespace fer {

/// An object with the head, followed by `fields`. `kind` is, for example, "evaluation".
inline nlohmann::ordered_json json_document(std::string_view kind, int version,
                                            const nlohmann::ordered_json& fields = {}) {
  nlohmann::ordered_json json{{"document", concat("fer ", kind)}, {"version", version}};
  if (!fields.is_null()) json.update(fields);
  return json;
}

/// Throws E, naming `source`, if the object is a document of another kind or of a version above `newest`.
/// Texts of earlier programs have no head and pass.
template <typename E = FormatError>
void require_document(const nlohmann::ordered_json& json, std::string_view kind, int newest,
                      const std::string& source) {
  const auto document = json.find("document"), version = json.find("version");
  if (document != json.end())
    require<E>(*document == concat("fer ", kind), source, ": holds ", document->dump(), ", not a fer ", kind);
  if (version == json.end()) return;
  require<E>(version->is_number_integer() && *version >= 1, source,
             ": 'version' must be a whole number from 1, got ", version->dump());
  require<E>(*version <= newest, source, ": is of version ", version->dump(), " of a fer ", kind,
             "; this program reads up to ", newest);
}

}  // namespace fer
