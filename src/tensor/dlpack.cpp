#include "fer/tensor/dlpack.h"

#include <array>
#include <limits>
#include <memory>
#include <string>

#include "fer/tensor/backend.h"
#include "fer/tensor/device_runtime.h"
#include "tensor/dlpack_abi.h"

namespace fer {
namespace {

struct TypeRow {
  DType type;
  std::uint8_t code, bits;
};
constexpr TypeRow type_rows[] = {
    {DType::float32, dlpack::floating, 32},      {DType::float64, dlpack::floating, 64},
    {DType::float16, dlpack::floating, 16},      {DType::bfloat16, dlpack::brain_floating, 16},
    {DType::int64, dlpack::signed_integer, 64},  {DType::int32, dlpack::signed_integer, 32},
    {DType::uint8, dlpack::unsigned_integer, 8},
};

/// "int16", "float8", "bool", or the numeric code for types that this list does not know.
std::string name_of(const dlpack::DataType& type) {
  const std::string bits = std::to_string(type.bits);
  const std::string lanes = type.lanes == 1 ? "" : concat(" x ", type.lanes);
  switch (type.code) {
    case dlpack::signed_integer:
      return "int" + bits + lanes;
    case dlpack::unsigned_integer:
      return "uint" + bits + lanes;
    case dlpack::floating:
      return "float" + bits + lanes;
    case dlpack::brain_floating:
      return "bfloat" + bits + lanes;
    case dlpack::boolean:
      return "bool" + lanes;
    default:
      return concat("a type of code ", int{type.code}, " and ", bits, " bits", lanes);
  }
}

DType type_of(const dlpack::DataType& type) {
  for (const TypeRow& row : type_rows) {
    if (row.code == type.code && row.bits == type.bits && type.lanes == 1) return row.type;
  }
  throw TypeError(concat("from_dlpack: elements of ", name_of(type),
                         "; fer has float32, float64, float16, bfloat16, int64, int32 and uint8"));
}

dlpack::DataType type_of(DType type) {
  for (const TypeRow& row : type_rows) {
    if (row.type == type) return {row.code, row.bits, 1};
  }
  throw TypeError(concat("to_dlpack: no type of DLPack is ", type));
}

Device device_of(const dlpack::Device& device) {
  switch (device.type) {
    case dlpack::cpu:
    case dlpack::cuda_host:
      return Device::cpu;
    case dlpack::cuda:
    case dlpack::cuda_managed: {
      backend(Device::cuda);  // throws DeviceError if there is none; makes the choice of the GPU final
      const int ours = take_selected_gpu();
      require<DeviceError>(device.id == ours, "from_dlpack: a tensor on GPU ", device.id,
                           ", and this process computes on GPU ", ours);
      return Device::cuda;
    }
    default:
      throw DeviceError(concat("from_dlpack: a tensor on a device of type ", device.type,
                               "; fer shares memory of the CPU (1) and of CUDA (2)"));
  }
}

std::string list_of(const std::int64_t* values, int count) {
  std::string text = "(";
  for (int i = 0; i < count; ++i) text += (i ? ", " : "") + std::to_string(values[i]);
  return text + ")";
}

Shape shape_of(const dlpack::View& view) {
  require<ShapeError>(view.rank >= 0 && view.rank <= Shape::max_rank, "from_dlpack: a tensor of ", view.rank,
                      " dimensions; fer has up to ", Shape::max_rank);
  require<ConfigError>(view.rank == 0 || view.shape != nullptr,
                       "from_dlpack: the pointer to the shape is null");
  const Shape shape(std::span<const std::int64_t>(view.shape, static_cast<std::size_t>(view.rank)));
  std::int64_t elements = 1;
  for (const std::int64_t extent : shape) {
    require<ShapeError>(extent >= 0, "a tensor cannot have the negative extent in ", shape);
    require<ShapeError>(extent == 0 || elements <= std::numeric_limits<std::int64_t>::max() / extent,
                        "a tensor of shape ", shape, " is larger than any memory");
    elements *= extent;
  }
  return shape;
}

void require_row_major(const dlpack::View& view, const Shape& shape) {
  if (view.strides == nullptr || shape.numel() == 0) return;
  std::int64_t expected = 1;
  for (int i = view.rank; i-- > 0; expected *= shape[i]) {
    if (shape[i] == 1) continue;  // its stride is never used
    require<ShapeError>(
        view.strides[i] == expected, "from_dlpack: a tensor of shape ", shape, " with strides ",
        list_of(view.strides, view.rank),
        " is not in row-major order; copy it first (numpy.ascontiguousarray, contiguous() of PyTorch)");
  }
}

template <typename Managed>
Tensor take(Managed* managed, bool read_only) {
  const dlpack::View& view = managed->view;
  const Shape shape = shape_of(view);
  const DType type = type_of(view.type);
  require_row_major(view, shape);
  const Device device = device_of(view.device);
  std::byte* data = view.data ? static_cast<std::byte*>(view.data) + view.byte_offset : nullptr;
  BlobDeleter deleter = [managed](void*) {
    if (managed->deleter) managed->deleter(managed);
  };
  return read_only
             ? Tensor::from_blob(static_cast<const void*>(data), shape, type, device, std::move(deleter))
             : Tensor::from_blob(static_cast<void*>(data), shape, type, device, std::move(deleter));
}

/// What a consumer holds: the structure and the memory that it points to.
template <typename Managed>
struct Export {
  Managed managed{};
  Tensor tensor;
  std::array<std::int64_t, Shape::max_rank> shape{}, strides{};
};

template <typename Managed>
Managed* give(const Tensor& tensor) {
  require<ConfigError>(tensor.defined(), "to_dlpack: the tensor is undefined");
  const Device device = tensor.device();
  require<DeviceError>(device != Device::simt,
                       "to_dlpack: nobody else knows the device simt; copy the tensor: to(Device::cpu)");
  if (device != Device::cpu) backend(device).synchronize();
  auto made = std::make_unique<Export<Managed>>();
  made->tensor = tensor;
  const int rank = tensor.rank();
  std::int64_t stride = 1;
  for (int i = rank; i-- > 0; stride *= tensor.dim(i)) {
    made->shape[static_cast<std::size_t>(i)] = tensor.dim(i);
    made->strides[static_cast<std::size_t>(i)] = stride;
  }
  const dlpack::Device where = device == Device::cpu ? dlpack::Device{dlpack::cpu, 0}
                                                     : dlpack::Device{dlpack::cuda, take_selected_gpu()};
  // Not mutable_raw(), because this is not a write: values saved for backward stay valid until somebody
  // writes.
  made->managed.view = {const_cast<void*>(tensor.raw()),
                        where,
                        rank,
                        type_of(tensor.dtype()),
                        made->shape.data(),
                        made->strides.data(),
                        0};
  made->managed.context = made.get();
  made->managed.deleter = [](Managed* managed) { delete static_cast<Export<Managed>*>(managed->context); };
  return &made.release()->managed;
}

}  // namespace

Tensor from_dlpack(DLManagedTensorVersioned* managed) {
  require<ConfigError>(managed != nullptr, "from_dlpack: the pointer is null");
  auto* ours = reinterpret_cast<dlpack::ManagedVersioned*>(managed);
  require<ConfigError>(ours->version.major == dlpack::major_version, "from_dlpack: a tensor of DLPack ",
                       ours->version.major, ".", ours->version.minor, "; fer knows DLPack ",
                       dlpack::major_version);
  return take(ours, (ours->flags & dlpack::read_only_flag) != 0);
}

Tensor from_dlpack(DLManagedTensor* managed) {
  require<ConfigError>(managed != nullptr, "from_dlpack: the pointer is null");
  return take(reinterpret_cast<dlpack::Managed*>(managed), false);
}

DLManagedTensorVersioned* to_dlpack(const Tensor& tensor) {
  auto* managed = give<dlpack::ManagedVersioned>(tensor);
  managed->version = {dlpack::major_version, dlpack::minor_version};
  managed->flags = tensor.is_read_only() ? dlpack::read_only_flag : 0;
  return reinterpret_cast<DLManagedTensorVersioned*>(managed);
}

DLManagedTensor* to_dlpack_unversioned(const Tensor& tensor) {
  require<TypeError>(
      !tensor.is_read_only(),
      "to_dlpack_unversioned: the tensor views constant memory, which DLPack before 1.0 cannot "
      "express; use to_dlpack() or clone()");
  return reinterpret_cast<DLManagedTensor*>(give<dlpack::Managed>(tensor));
}

}  // namespace fer
