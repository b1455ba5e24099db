// The binary layout of DLPack 1.x (https://dmlc.github.io/dlpack), as far as passing tensors needs it.
#pragma once

#include <cstdint>

namespace fer::dlpack {

constexpr std::uint32_t major_version = 1, minor_version = 0;
constexpr std::uint64_t read_only_flag = 1;

enum DeviceType : std::int32_t { cpu = 1, cuda = 2, cuda_host = 3, cuda_managed = 13 };

enum TypeCode : std::uint8_t {
  signed_integer = 0,
  unsigned_integer = 1,
  floating = 2,
  brain_floating = 4,
  boolean = 6
};

struct Version {
  std::uint32_t major, minor;
};

struct Device {
  std::int32_t type;  ///< a DeviceType
  std::int32_t id;
};

struct DataType {
  std::uint8_t code;  ///< a TypeCode
  std::uint8_t bits;
  std::uint16_t lanes;  ///< elements of a vector type; 1: a scalar type
};

struct View {
  void* data;
  Device device;
  std::int32_t rank;
  DataType type;
  std::int64_t* shape;
  std::int64_t* strides;  ///< in elements; null: row-major
  std::uint64_t byte_offset;
};

/// DLManagedTensor.
struct Managed {
  View view;
  void* context;
  void (*deleter)(Managed*);
};

/// DLManagedTensorVersioned.
struct ManagedVersioned {
  Version version;
  void* context;
  void (*deleter)(ManagedVersioned*);
  std::uint64_t flags;
  View view;
};

}  // namespace fer::dlpack
