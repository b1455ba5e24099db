// Memory with another owner: Tensor::from_blob, and DLPack in and out.
#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <memory>
#include <vector>

#include "fer/error.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/dlpack.h"
#include "tensor/dlpack_abi.h"

namespace fer {
namespace {

TEST_CASE("from_blob views memory, and gives it back once, when no tensor views it any more") {
  std::vector<float> memory{1, 2, 3, 4, 5, 6};
  int given_back = 0;
  const auto give_back = [&](void* data) {
    CHECK(data == memory.data());
    ++given_back;
  };
  Tensor row;
  {
    Tensor x = Tensor::from_blob(memory.data(), {2, 3}, Device::cpu, give_back);
    CHECK(x.dtype() == DType::float32);
    CHECK(x.raw() == memory.data());
    memory[5] = 60;
    CHECK(x.to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5, 60});
    x.fill(7);
    row = x.slice(1, 1);
  }
  CHECK(memory == std::vector<float>(6, 7));
  CHECK(given_back == 0);
  row = {};
  CHECK(given_back == 1);
}

TEST_CASE("from_blob: a tensor is never the sole owner of foreign memory") {
  std::vector<float> memory{1, 2};
  const Tensor x = Tensor::from_blob(memory.data(), {2});
  CHECK_FALSE(x.sole_owner());
  CHECK(x.clone().sole_owner());
}

TEST_CASE("from_blob: constant memory is read, and refuses to be written to") {
  const std::vector<std::int64_t> memory{3, 4};
  Tensor x = Tensor::from_blob(memory.data(), {2});
  CHECK(x.dtype() == DType::int64);
  CHECK(x.is_read_only());
  CHECK(x.to_vector<std::int64_t>() == memory);
  CHECK_THROWS_WITH_AS(
      x.fill(1), "a tensor of shape (2) views constant memory and cannot be written to; clone() it first",
      TypeError);
  Tensor copy = x.clone();
  copy.fill(1);
  CHECK_FALSE(copy.is_read_only());
}

TEST_CASE("from_blob: operations read from any address that fits the type") {
  std::vector<float> memory(1 + 5 * 7), other(1 + 7 * 3);
  for (std::size_t i = 0; i < memory.size(); ++i) memory[i] = static_cast<float>(i);
  for (std::size_t i = 0; i < other.size(); ++i) other[i] = static_cast<float>(i % 5);
  const Tensor a = Tensor::from_blob(memory.data() + 1, {5, 7}),
               b = Tensor::from_blob(other.data() + 1, {7, 3});
  Tensor y = Tensor::empty({5, 3}), expected = Tensor::empty({5, 3});
  backend(Device::cpu).matmul(a, false, b, false, y);
  backend(Device::cpu).matmul(a.clone(), false, b.clone(), false, expected);
  CHECK(y.to_vector<float>() == expected.to_vector<float>());
}

TEST_CASE("from_blob: errors leave the memory to the caller") {
  std::array<double, 4> memory{};
  char* bytes = reinterpret_cast<char*>(memory.data());
  int given_back = 0;
  const BlobDeleter count = [&](void*) { ++given_back; };
  void* null = nullptr;
  CHECK_THROWS_WITH_AS(
      Tensor::from_blob(null, {2, 3}, DType::float32, Device::cpu, count),
      "from_blob: a tensor of shape (2, 3) and type float32 needs 24 bytes, and the pointer to "
      "them is null",
      ConfigError);
  CHECK_THROWS_WITH_AS(
      Tensor::from_blob(static_cast<void*>(bytes + 4), {1}, DType::float64, Device::cpu, count),
      "from_blob: elements of float64 lie at multiples of 8 bytes, and the address is 4 beyond one",
      ConfigError);
  CHECK_THROWS_WITH_AS(Tensor::from_blob(memory.data(), {-1}, Device::cpu, count),
                       "a tensor cannot have the negative extent in (-1)", ShapeError);
  CHECK_THROWS_WITH_AS(
      Tensor::from_blob(memory.data(), {4}, Device::simt, count),
      "from_blob: the device simt checks every access against memory that it allocated itself; "
      "make the tensor on the device cpu and copy it: to(Device::simt)",
      DeviceError);
  CHECK(given_back == 0);
  CHECK(Tensor::from_blob(null, {0, 3}, DType::float32).numel() == 0);
}

/// A producer's tensor, with all that DLPack points to.
template <typename Managed>
struct Produced {
  std::vector<float> memory{0, 1, 2, 3, 4, 5, 6};
  std::vector<std::int64_t> shape{2, 3}, strides{3, 1};
  Managed managed{};
  int deleted = 0;

  Produced() {
    managed.view = {memory.data(), {dlpack::cpu, 0}, 2, {dlpack::floating, 32, 1},
                    shape.data(),  strides.data(),   4};
    managed.context = this;
    managed.deleter = [](Managed* m) { ++static_cast<Produced*>(m->context)->deleted; };
    if constexpr (requires { managed.version; }) managed.version = {1, 1};
  }
  Tensor import() {
    if constexpr (requires { managed.version; }) {
      return from_dlpack(reinterpret_cast<DLManagedTensorVersioned*>(&managed));
    } else {
      return from_dlpack(reinterpret_cast<DLManagedTensor*>(&managed));
    }
  }
};

TEST_CASE_TEMPLATE("from_dlpack shares the producer's memory until the last view ends", Managed,
                   dlpack::Managed, dlpack::ManagedVersioned) {
  Produced<Managed> produced;
  {
    Tensor x = produced.import();
    CHECK(x.shape() == Shape{2, 3});
    CHECK(x.to_vector<float>() == std::vector<float>{1, 2, 3, 4, 5, 6});
    x.fill(8);
    CHECK(produced.memory == std::vector<float>{0, 8, 8, 8, 8, 8, 8});
    CHECK(produced.deleted == 0);
  }
  CHECK(produced.deleted == 1);
}

TEST_CASE("from_dlpack: strides may be left out, and those of extents of 1 are ignored") {
  Produced<dlpack::ManagedVersioned> produced;
  produced.managed.view.strides = nullptr;
  CHECK(produced.import().numel() == 6);
  produced.shape = {6, 1};
  produced.strides = {1, 77};
  produced.managed.view.strides = produced.strides.data();
  CHECK(produced.import().shape() == Shape{6, 1});
  produced.managed.view.rank = 0;
  CHECK(produced.import().item() == 1);
}

TEST_CASE("from_dlpack: memory marked as read-only is not written to") {
  Produced<dlpack::ManagedVersioned> produced;
  produced.managed.flags = dlpack::read_only_flag;
  Tensor x = produced.import();
  CHECK(x.is_read_only());
  CHECK_THROWS_AS(x.fill(1), TypeError);
  // And it stays marked when it is passed on.
  DLManagedTensorVersioned* out = to_dlpack(x);
  auto* ours = reinterpret_cast<dlpack::ManagedVersioned*>(out);
  CHECK(ours->flags == dlpack::read_only_flag);
  ours->deleter(ours);
  CHECK_THROWS_WITH_AS(
      to_dlpack_unversioned(x),
      "to_dlpack_unversioned: the tensor views constant memory, which DLPack before 1.0 cannot "
      "express; use to_dlpack() or clone()",
      TypeError);
}

TEST_CASE("from_dlpack: errors leave the tensor to the producer") {
  Produced<dlpack::ManagedVersioned> p;
  dlpack::View& view = p.managed.view;
  const auto refuses = [&](const char* message) { CHECK_THROWS_WITH(p.import(), message); };
  p.managed.version = {2, 0};
  refuses("from_dlpack: a tensor of DLPack 2.0; fer knows DLPack 1");
  p.managed.version = {1, 0};
  view.type = {dlpack::signed_integer, 16, 1};
  refuses(
      "from_dlpack: elements of int16; fer has float32, float64, float16, bfloat16, int64, int32 and uint8");
  view.type = {dlpack::floating, 32, 4};
  refuses(
      "from_dlpack: elements of float32 x 4; fer has float32, float64, float16, bfloat16, int64, int32 and "
      "uint8");
  view.type = {dlpack::floating, 32, 1};
  p.strides = {1, 2};
  refuses(
      "from_dlpack: a tensor of shape (2, 3) with strides (1, 2) is not in row-major order; copy it first "
      "(numpy.ascontiguousarray, contiguous() of PyTorch)");
  p.strides = {3, 1};
  view.rank = 7;
  refuses("from_dlpack: a tensor of 7 dimensions; fer has up to 6");
  view.rank = 2;
  p.shape = {2, -3};
  refuses("a tensor cannot have the negative extent in (2, -3)");
  p.shape = {std::int64_t{1} << 40, std::int64_t{1} << 40};
  refuses("a tensor of shape (1099511627776, 1099511627776) is larger than any memory");
  p.shape = {2, 3};
  view.device.type = 8;
  refuses("from_dlpack: a tensor on a device of type 8; fer shares memory of the CPU (1) and of CUDA (2)");
  view.device.type = dlpack::cpu;
  view.byte_offset = 3;
  refuses("from_blob: elements of float32 lie at multiples of 4 bytes, and the address is 3 beyond one");
  CHECK_THROWS_WITH(from_dlpack(static_cast<DLManagedTensor*>(nullptr)), "from_dlpack: the pointer is null");
  CHECK(p.deleted == 0);
}

TEST_CASE("to_dlpack describes every type, and keeps the memory alive") {
  for (const auto& [type, code, bits] : {std::tuple{DType::float32, 2, 32},
                                         {DType::float64, 2, 64},
                                         {DType::float16, 2, 16},
                                         {DType::bfloat16, 4, 16},
                                         {DType::int64, 0, 64},
                                         {DType::int32, 0, 32},
                                         {DType::uint8, 1, 8}}) {
    auto x = std::make_unique<Tensor>(Tensor::empty({4, 2, 5}, type));
    std::memset(x->mutable_raw(), 0, x->bytes());
    const Tensor rows = x->slice(1, 2);
    auto* out = reinterpret_cast<dlpack::ManagedVersioned*>(to_dlpack(rows));
    CHECK(out->version.major == 1);
    CHECK(out->flags == 0);
    const dlpack::View& view = out->view;
    CHECK(static_cast<std::byte*>(view.data) + view.byte_offset == rows.raw());
    CHECK(view.device.type == dlpack::cpu);
    CHECK(view.rank == 3);
    CHECK(std::vector<std::int64_t>(view.shape, view.shape + 3) == std::vector<std::int64_t>{2, 2, 5});
    CHECK(std::vector<std::int64_t>(view.strides, view.strides + 3) == std::vector<std::int64_t>{10, 5, 1});
    CHECK(int{view.type.code} == code);
    CHECK(int{view.type.bits} == bits);
    CHECK(view.type.lanes == 1);
    const Tensor back = from_dlpack(reinterpret_cast<DLManagedTensorVersioned*>(out));  // takes `out` over
    x = nullptr;
    CHECK(back.dtype() == type);
    CHECK(static_cast<const char*>(back.raw())[0] == 0);
    CHECK(back.raw() == rows.raw());
  }
  CHECK_THROWS_WITH(to_dlpack(Tensor()), "to_dlpack: the tensor is undefined");
}

TEST_CASE("DLPack on the other devices: cuda goes round, simt is refused") {
  if (is_available(Device::cuda)) {
    const Tensor x = Tensor::from<float>({3}, {1, 2, 3}, Device::cuda);
    const Tensor back = from_dlpack(to_dlpack(x));
    CHECK(back.device() == Device::cuda);
    CHECK(back.raw() == x.raw());
    CHECK(back.to_vector<float>() == std::vector<float>{1, 2, 3});
  }
  if (is_available(Device::simt)) {
    CHECK_THROWS_WITH_AS(to_dlpack(Tensor::zeros({1}, DType::float32, Device::simt)),
                         "to_dlpack: nobody else knows the device simt; copy the tensor: to(Device::cpu)",
                         DeviceError);
  }
}

}  // namespace
}  // namespace fer
