#include "fer/tensor/dtype.h"

#include "fer/nearest.h"
#include "fer/tensor/device.h"

namespace fer {

std::size_t size_of(DType dtype) {
  switch (dtype) {
    case DType::float64:
    case DType::int64:
      return 8;
    case DType::float32:
    case DType::int32:
      return 4;
    case DType::float16:
    case DType::bfloat16:
      return 2;
    case DType::uint8:
      return 1;
  }
  throw TypeError("size_of: unknown element type");
}

std::string_view name_of(DType dtype) {
  switch (dtype) {
    case DType::float32:
      return "float32";
    case DType::float64:
      return "float64";
    case DType::float16:
      return "float16";
    case DType::bfloat16:
      return "bfloat16";
    case DType::int64:
      return "int64";
    case DType::int32:
      return "int32";
    case DType::uint8:
      return "uint8";
  }
  throw TypeError("name_of: unknown element type");
}

std::ostream& operator<<(std::ostream& out, DType dtype) {
  return out << name_of(dtype);
}

std::string_view name_of(Device device) {
  switch (device) {
    case Device::cpu:
      return "cpu";
    case Device::simt:
      return "simt";
    case Device::cuda:
      return "cuda";
  }
  throw TypeError("name_of: unknown device");
}

Device parse_device(std::string_view text) {
  for (Device device : {Device::cpu, Device::simt, Device::cuda}) {
    if (text == name_of(device)) return device;
  }
  // "gpu" is close enough to "cpu" that a suggestion would name the wrong device.
  if (text == "gpu")
    throw ConfigError("unknown device 'gpu'; known are cpu, simt, cuda; did you mean 'cuda'?");
  throw ConfigError(unknown_name("device", text, {"cpu", "simt", "cuda"}));
}

std::ostream& operator<<(std::ostream& out, Device device) {
  return out << name_of(device);
}

}  // namespace fer
