// Memory, elementwise arithmetic, layout, dropout, images and optimizers.
#include <array>

#include "tests/kernels/kernel_case.h"

namespace fer::test {
namespace {

/// Views of tensors that start in the middle of a packet, which rules out 16-byte accesses.
Tensor unaligned(const Tensor& x) {
  return x.slice(1, x.numel() - 1);
}

void add_elementwise(std::vector<KernelCase>& cases) {
  for (const std::int64_t n : {1, 3, 31, 127, 255, 256, 257, 1025}) {
    cases.push_back(
        {concat("elementwise/", n), {"binary", "scale", "accumulate", "lerp", "fill", "copy"}, [n](Bench& b) {
           const Tensor x = b.random({n}), z = b.random({n});
           for (const BinaryOp op : {BinaryOp::add, BinaryOp::sub, BinaryOp::mul}) {
             b.backend().binary(op, x, z, b.result({n}));
           }
           b.backend().binary(BinaryOp::div, x, b.random({n}, 0.5, 2), b.result({n}));
           b.backend().scale(x, 0.75, b.result({n}));
           b.backend().copy(x, b.result({n}));
           b.backend().fill(b.result({n}), 1.5);
           Tensor y = b.random({n}), average = b.random({n});
           b.backend().accumulate(x, 0.5, y);
           b.changed(y);
           if (b.dtype() == DType::bfloat16) return;  // averages are of parameters
           b.backend().lerp(x, 0.25, average);
           b.changed(average);
         }});
  }
  cases.push_back({"elementwise/unaligned views", {"binary", "accumulate"}, [](Bench& b) {
                     const Tensor x = unaligned(b.random({130})), z = unaligned(b.random({130}));
                     b.backend().binary(BinaryOp::mul, x, z, b.result({129}));
                     Tensor y = unaligned(b.random({130}));
                     b.backend().accumulate(x, -2, y);
                     b.changed(y);
                   }});
  const std::array<std::array<Shape, 2>, 5> broadcasts{{{Shape{7, 33}, Shape{33}},
                                                        {Shape{5, 1, 3}, Shape{1, 31, 1}},
                                                        {Shape{}, Shape{2, 129}},
                                                        {Shape{3, 1, 5, 1, 7}, Shape{2, 1, 3, 1}},
                                                        {Shape{257, 1}, Shape{1, 3}}}};
  for (const auto& [left, right] : broadcasts) {
    cases.push_back({concat("broadcast/", left, " and ", right), {"binary", "sum_to"}, [=](Bench& b) {
                       const Tensor x = b.random(left), z = b.random(right);
                       const Shape full = broadcast_shapes(left, right, "kernels");
                       for (const BinaryOp op : {BinaryOp::add, BinaryOp::sub, BinaryOp::mul}) {
                         b.backend().binary(op, x, z, b.result(full));
                       }
                       b.backend().binary(BinaryOp::div, x, b.random(right, 0.5, 2), b.result(full));
                       const Tensor dy = b.random(full);
                       b.backend().sum_to(dy, b.result(left));
                       b.backend().sum_to(dy, b.result(right));
                       b.backend().sum_to(dy, b.parameter_result(right));
                     }});
  }
  for (const std::int64_t rows : {1, 31, 33, 1025}) {
    cases.push_back({concat("sum_to/", rows, " rows"), {"sum_to"}, [=](Bench& b) {
                       for (const std::int64_t columns : {1, 3, 31, 33}) {
                         const Tensor x = b.random({rows, columns});
                         b.backend().sum_to(x, b.result({columns}));
                         b.backend().sum_to(x, b.result({rows, 1}));
                         b.backend().sum_to(x, b.result({}));
                       }
                     }});
  }
}

void add_layout(std::vector<KernelCase>& cases) {
  const std::array<Shape, 4> shapes{Shape{1, 1, 1}, Shape{3, 31, 33}, Shape{2, 32, 65}, Shape{33, 1, 7}};
  for (const Shape& shape : shapes) {
    cases.push_back(
        {concat("permute/", shape), {"permute"}, [=](Bench& b) {
           const Tensor x = b.random(shape), small = b.bytes(shape);
           for (const std::array<int, 3> order : {std::array{0, 2, 1}, {2, 1, 0}, {1, 0, 2}, {2, 0, 1}}) {
             const Shape y{shape[order[0]], shape[order[1]], shape[order[2]]};
             b.backend().permute(x, order, b.result(y));
             b.backend().permute(small, order, b.result(y, DType::uint8));
           }
         }});
  }
  for (const std::int64_t width : {1, 3, 4, 31}) {
    cases.push_back(
        {concat("slice and paste/", width), {"slice", "paste"}, [=](Bench& b) {
           const Tensor x = b.random({5, 33, width});
           for (const auto& [start, length] : {std::array<std::int64_t, 2>{0, 1}, {1, 31}, {32, 1}}) {
             Tensor& part = b.result({5, length, width});
             b.backend().slice(x, 1, start, part);
             Tensor y = b.random({5, 33, width});
             b.backend().paste(part, 1, start, y);
             b.changed(y);
           }
           const Tensor bytes = b.bytes({5, 33, width});
           b.backend().slice(bytes, 0, 2, b.result({3, 33, width}, DType::uint8));
         }});
  }
  for (const std::int64_t n : {1, 33, 257}) {
    cases.push_back({concat("cast/", n), {"cast"}, [=](Bench& b) {
                       const Tensor bytes = b.bytes({n}), x = b.random({n}, 0, 200);
                       for (const DType type :
                            {DType::float32, DType::float64, DType::int64, DType::int32, DType::uint8}) {
                         b.backend().cast(bytes, b.result({n}, type));
                         b.backend().cast(x, b.result({n}, type));
                       }
                     }});
  }
  for (const std::int64_t n : ragged) {
    cases.push_back({concat("dropout/", n), {"dropout"}, [=](Bench& b) {
                       const Tensor x = b.random({n});
                       const Tensor samples = b.random({5, n});
                       const auto drop = [&](const Tensor& from, std::int64_t first, DropoutMask mask) {
                         b.backend().dropout(from, 0.4, {1, 2, 3}, first, mask, b.result(from.shape()));
                       };
                       for (const std::int64_t first : {0, 2, 4, 127}) {  // of a larger batch
                         drop(x, first, DropoutMask::element);
                         drop(samples, first, DropoutMask::sample);
                       }
                       if (n > 1) drop(unaligned(x), 0, DropoutMask::element);
                     }});
  }
}

void add_images(std::vector<KernelCase>& cases) {
  for (const std::int64_t width : {1, 3, 43, 129}) {
    for (const std::int64_t channels : {1, 3}) {
      cases.push_back(
          {concat("images/", width, " x ", channels), {"preprocess_images"}, [=](Bench& b) {
             const Tensor images = b.bytes({3, 2, width, channels});
             const auto w = static_cast<std::int32_t>(width);
             const std::vector<ImageTransform> transforms{
                 {}, {.flip = 1}, {.flip = 1, .erase_top = 1, .erase_height = 1, .erase_width = w}};
             const float mean[3] = {0.485f, 0.456f, 0.406f}, std[3] = {0.229f, 0.224f, 0.225f};
             b.backend().preprocess_images(images, transforms, mean, std, b.result({3, 2, width, 3}));
           }});
    }
  }
  cases.push_back({"images/more than one launch holds", {"preprocess_images"}, [](Bench& b) {
                     const std::vector<ImageTransform> transforms(181, ImageTransform{.flip = 1});
                     const float mean[3] = {0, 0, 0}, std[3] = {1, 1, 1};
                     b.backend().preprocess_images(b.bytes({181, 1, 2, 3}), transforms, mean, std,
                                                   b.result({181, 1, 2, 3}));
                   }});
  const std::array<std::int64_t, 2> extents[] = {{1, 1}, {1, 9}, {7, 33}, {33, 7}, {16, 16}, {31, 13}};
  for (const auto& [height, width] : extents) {
    cases.push_back(
        {concat("resize/", height, " x ", width), {"resize_images"}, [=](Bench& b) {
           for (const std::int64_t channels : {1, 3}) {
             const Tensor images = b.bytes({2, 13, 16, channels});
             b.backend().resize_images(images, b.result({2, height, width, channels}, DType::uint8));
           }
         }});
  }
}

/// Tensors of ragged sizes, more than the number of pointers in one launch.
std::vector<Tensor> many(Bench& b, double low = -1, double high = 1) {
  std::vector<Tensor> tensors;
  for (const std::int64_t n : {1, 3, 0, 255, 4097, 33}) tensors.push_back(b.random({n}, low, high));
  for (int i = 0; i < 120; ++i) tensors.push_back(b.random({1 + i % 5}, low, high));
  return tensors;
}

void add_optimizers(std::vector<KernelCase>& cases) {
  for (const bool decoupled : {false, true}) {
    cases.push_back({concat("optimizers/adam", decoupled ? "w" : ""), {"adam_step"}, [=](Bench& b) {
                       const std::vector<Tensor> p = many(b), g = many(b), m = many(b), v = many(b, 0, 1);
                       std::vector<AdamSlot> slots;
                       for (std::size_t i = 0; i < p.size(); ++i) slots.push_back({p[i], g[i], m[i], v[i]});
                       const AdamOptions options{.lr = 0.01, .weight_decay = 0.1, .decoupled = decoupled};
                       b.backend().adam_step(slots, options, 3);
                       for (const AdamSlot& s : slots) b.changed(s.param), b.changed(s.m), b.changed(s.v);
                     }});
  }
  for (const double momentum : {0.0, 0.9}) {
    for (const bool first : {false, true}) {
      cases.push_back(
          {concat("optimizers/sgd ", momentum, first ? " first" : ""), {"sgd_step"}, [=](Bench& b) {
             const std::vector<Tensor> p = many(b), g = many(b);
             std::vector<SgdSlot> slots;
             for (std::size_t i = 0; i < p.size(); ++i) {
               Tensor buffer;
               // Before the first step nobody has written it, and nobody may read it.
               if (momentum != 0) buffer = first ? b.output(p[i].shape()) : b.random(p[i].shape());
               slots.push_back({p[i], g[i], buffer});
             }
             const SgdOptions options{
                 .lr = 0.1, .momentum = momentum, .weight_decay = 0.01, .nesterov = momentum != 0};
             b.backend().sgd_step(slots, options, first ? 1 : 2);
             for (const SgdSlot& s : slots) {
               b.changed(s.param);
               if (s.momentum.defined()) b.changed(s.momentum);
             }
           }});
    }
  }
  cases.push_back({"optimizers/norm and SAM", {"global_norm", "sam_ascend", "sam_restore"}, [](Bench& b) {
                     const std::vector<Tensor> p = many(b), g = many(b);
                     Tensor& norm = b.result({}, DType::float64);
                     b.backend().global_norm(g, norm);
                     std::vector<SamSlot> slots;
                     for (std::size_t i = 0; i < p.size(); ++i) {
                       slots.push_back({p[i], i % 4 == 1 ? Tensor() : g[i], b.output(p[i].shape())});
                     }
                     b.backend().sam_ascend(slots, 0.05, norm);
                     for (const SamSlot& s : slots) b.changed(s.param.clone()), b.changed(s.saved);
                     b.backend().sam_restore(slots);
                     for (const SamSlot& s : slots) b.changed(s.param);
                   }});
}

}  // namespace

std::vector<KernelCase> basic_cases() {
  std::vector<KernelCase> cases;
  add_elementwise(cases);
  add_layout(cases);
  const std::size_t first = cases.size();
  add_images(cases);
  add_optimizers(cases);
  for (std::size_t i = first; i < cases.size(); ++i) cases[i].bfloat16 = false;
  return cases;
}

}  // namespace fer::test
