#include "fer/formats/pytorch.h"

namespace fer {
namespace {

std::string_view name_of(PyValue::Kind kind) {
  switch (kind) {
    case PyValue::Kind::none:
      return "None";
    case PyValue::Kind::boolean:
      return "a bool";
    case PyValue::Kind::integer:
    case PyValue::Kind::big_integer:
      return "an int";
    case PyValue::Kind::real:
      return "a float";
    case PyValue::Kind::text:
      return "a str";
    case PyValue::Kind::bytes:
      return "bytes";
    case PyValue::Kind::tensor:
      return "a tensor";
    case PyValue::Kind::list:
      return "a list";
    case PyValue::Kind::tuple:
      return "a tuple";
    case PyValue::Kind::dict:
      return "a dict";
    case PyValue::Kind::object:
      return "an object";
  }
  return "a value";
}

}  // namespace

// One factory per kind; the kind determines the alternative of `value_`.
#define FER_PY_VALUE(NAME, TYPE)      \
  PyValue PyValue::NAME(TYPE value) { \
    PyValue made;                     \
    made.kind_ = Kind::NAME;          \
    made.value_ = std::move(value);   \
    return made;                      \
  }
FER_PY_VALUE(boolean, bool)
FER_PY_VALUE(integer, std::int64_t)
FER_PY_VALUE(big_integer, std::string)
FER_PY_VALUE(real, double)
FER_PY_VALUE(text, std::string)
FER_PY_VALUE(bytes, std::string)
FER_PY_VALUE(tensor, Tensor)
FER_PY_VALUE(list, std::vector<PyValue>)
FER_PY_VALUE(tuple, std::vector<PyValue>)
FER_PY_VALUE(dict, std::vector<PyItem>)
FER_PY_VALUE(object, std::shared_ptr<const PyObject>)
#undef FER_PY_VALUE

std::string PyValue::describe() const {
  // Reads the variant directly: the accessors below describe the value before they check its kind.
  if (const auto* elements = std::get_if<std::vector<PyValue>>(&value_)) {
    return concat(name_of(kind_), " of ", elements->size());
  }
  if (const auto* items = std::get_if<std::vector<PyItem>>(&value_)) {
    return concat("a dict of ", items->size());
  }
  if (const auto* tensor = std::get_if<Tensor>(&value_)) {
    return concat("a tensor ", tensor->shape(), " of ", tensor->dtype());
  }
  if (const auto* object = std::get_if<std::shared_ptr<const PyObject>>(&value_)) {
    return (*object)->description;
  }
  return std::string(name_of(kind_));
}

bool PyValue::as_boolean() const {
  require<TypeError>(is(Kind::boolean), "a bool was expected, got ", describe());
  return std::get<bool>(value_);
}

std::int64_t PyValue::as_integer() const {
  require<TypeError>(is(Kind::integer), "an int of at most 64 bits was expected, got ", describe());
  return std::get<std::int64_t>(value_);
}

double PyValue::as_real() const {
  if (is(Kind::integer)) return static_cast<double>(as_integer());
  require<TypeError>(is(Kind::real), "a float was expected, got ", describe());
  return std::get<double>(value_);
}

const std::string& PyValue::as_text() const {
  require<TypeError>(std::holds_alternative<std::string>(value_), "a str was expected, got ", describe());
  return std::get<std::string>(value_);
}

const Tensor& PyValue::as_tensor() const {
  require<TypeError>(is(Kind::tensor), "a tensor was expected, got ", describe());
  return std::get<Tensor>(value_);
}

const std::vector<PyValue>& PyValue::elements() const {
  require<TypeError>(is(Kind::list) || is(Kind::tuple), "a list or tuple was expected, got ", describe());
  return std::get<std::vector<PyValue>>(value_);
}

const std::vector<PyItem>& PyValue::items() const {
  if (is(Kind::object)) return as_object().items;
  require<TypeError>(is(Kind::dict), "a dict was expected, got ", describe());
  return std::get<std::vector<PyItem>>(value_);
}

const PyObject& PyValue::as_object() const {
  require<TypeError>(is(Kind::object), "an object was expected, got ", describe());
  return *std::get<std::shared_ptr<const PyObject>>(value_);
}

const PyValue* PyValue::find(std::string_view key) const {
  if (!is(Kind::dict) && !is(Kind::object)) return nullptr;
  for (const PyItem& item : items()) {
    if (item.key.is(Kind::text) && item.key.as_text() == key) return &item.value;
    if (item.key.is(Kind::integer) && std::to_string(item.key.as_integer()) == key) return &item.value;
  }
  return nullptr;
}

}  // namespace fer
