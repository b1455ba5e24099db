// The heat map of the landmark features and its product with the image features (Eq. 1, Table 4).
// Per pixel, with h = max_c f_lm[c] (or sum_c f_lm[c], or sum_c |f_lm[c]|):
//   df_lm[c] = dh [c is the first maximum]  (or dh, or dh sign f_lm[c])
//   y[c] = h f_img[c]:  df_img[c] = h dy[c],  dh = sum_c dy[c] f_img[c]
#include "autograd/op_checks.h"
#include "fer/autograd/ops.h"

namespace fer {

using namespace detail;

namespace {

/// Memory for the index of the maximum; only the kind `max` needs it.
Tensor argmax_for(HeatmapKind kind, const Shape& shape, const Tensor& like) {
  return kind == HeatmapKind::max ? Tensor::empty(shape, DType::int32, like.device()) : Tensor();
}

Shape heat_shape(std::string_view op, const Tensor& f_lm) {
  check_rank(op, {"f_lm", f_lm}, 4, "N x H x W x C");
  require<ShapeError>(f_lm.dim(3) >= 1, "[", op, "] f_lm of shape ", f_lm.shape(), " has no channels");
  return {f_lm.dim(0), f_lm.dim(1), f_lm.dim(2), 1};
}

}  // namespace

Variable heatmap(const Variable& f_lm, HeatmapKind kind) {
  check_operands("heatmap", {{"f_lm", value_or_none(f_lm)}});
  const Shape shape = heat_shape("heatmap", f_lm.value());
  Tensor heat = Tensor::empty_like(f_lm.value(), shape);
  Tensor argmax = argmax_for(kind, shape, f_lm.value());
  backend_of(heat).heatmap_forward(f_lm.value(), kind, heat, argmax);
  const bool needed = needs_gradient(f_lm);
  return record({"heatmap", {{"kind", static_cast<int>(kind)}}}, std::move(heat), {f_lm},
                [kind, f_lm_saved = save_if(needed, f_lm.value(), "heatmap", "f_lm"),
                 argmax_saved = save_if(needed, argmax, "heatmap", "argmax")](
                    const Tensor& dheat) -> std::vector<Tensor> {
                  const Tensor& f = f_lm_saved.get();
                  Tensor df_lm = Tensor::empty_like(f);
                  backend_of(dheat).heatmap_backward(f, argmax_saved.get(), kind, dheat, df_lm);
                  return {df_lm};
                });
}

Variable heatmap_product(const Variable& f_lm, const Variable& f_img, HeatmapKind kind) {
  constexpr std::string_view op = "heatmap_product";
  check_operands(op, {{"f_lm", value_or_none(f_lm)}, {"f_img", value_or_none(f_img)}});
  const Shape shape = heat_shape(op, f_lm.value());
  check_rank(op, {"f_img", f_img.value()}, 4, "N x H x W x C");
  require<ShapeError>(f_img.dim(0) == shape[0] && f_img.dim(1) == shape[1] && f_img.dim(2) == shape[2], "[",
                      op, "] f_lm of shape ", f_lm.shape(), " and f_img of shape ", f_img.shape(),
                      " differ in more than their channels");
  Tensor y = Tensor::empty_like(f_img.value()), heat = Tensor::empty_like(f_lm.value(), shape);
  Tensor argmax = argmax_for(kind, shape, f_lm.value());
  backend_of(y).heatmap_product_forward(f_lm.value(), f_img.value(), kind, y, heat, argmax);
  const bool needs_lm = needs_gradient(f_lm), needs_img = needs_gradient(f_img), any = needs_lm || needs_img;
  return record(
      {op, {{"kind", static_cast<int>(kind)}}}, std::move(y), {f_lm, f_img},
      [needs_lm, needs_img, kind, f_lm_saved = save_if(needs_lm, f_lm.value(), op, "f_lm"),
       f_img_saved = save_if(needs_lm, f_img.value(), op, "f_img"),
       heat_saved = save_if(any, heat, op, "heat"),
       argmax_saved = save_if(needs_lm, argmax, op, "argmax")](const Tensor& dy) -> std::vector<Tensor> {
        // Only df_lm reads the features and the argmax. If it is not needed (the landmark backbone is
        // frozen), heat and dy stand in for the features, which were not kept.
        const Tensor& lm = needs_lm ? f_lm_saved.get() : heat_saved.get();
        const Tensor& img = needs_lm ? f_img_saved.get() : dy;
        Tensor df_lm = empty_if(needs_lm, lm.shape(), dy), df_img = empty_if(needs_img, dy.shape(), dy);
        backend_of(dy).heatmap_product_backward(lm, img, heat_saved.get(), argmax_saved.get(), kind, dy,
                                                df_lm, df_img);
        return {df_lm, df_img};
      });
}

}  // namespace fer
