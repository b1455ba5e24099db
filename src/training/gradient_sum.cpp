#include "training/gradient_sum.h"

#include <algorithm>
#include <utility>

namespace fer {
namespace {

constexpr std::size_t alone_from = std::size_t{1} << 20;  // bytes

}  // namespace

class GradientSum::Listener final : public GradientListener {
 public:
  explicit Listener(GradientSum& owner) : owner_(owner) {}
  void on_gradient(const Variable& leaf) override { owner_.on_gradient(leaf); }

 private:
  GradientSum& owner_;
};

GradientSum::GradientSum(Communicator& ranks, std::vector<NamedVariable> parameters, DType travel)
    : ranks_(ranks), parameters_(std::move(parameters)), travel_(travel) {
  require<TypeError>(travel == DType::float32 || travel == DType::bfloat16,
                     "gradients travel as float32 or bfloat16, not as ", travel);
  for (std::size_t i = 0; i < parameters_.size(); ++i) index_[parameters_[i].variable.id()] = i;
  times_.resize(parameters_.size());
  last_added_.resize(parameters_.size());
}

GradientSum::~GradientSum() = default;

void GradientSum::run(const std::function<void()>& backward) {
  if (ranks_.size() == 1) return backward();
  added_.assign(parameters_.size(), 0);
  sent_ = 0;
  for (Parcel& parcel : parcels_) parcel.awaited = parcel.members.size();
  {
    const Listener listener(*this);
    backward();
  }
  if (parcels_.empty()) plan();
  while (sent_ < parcels_.size()) send(parcels_[sent_++]);
  for (Parcel& parcel : parcels_) receive(parcel);
}

void GradientSum::on_gradient(const Variable& leaf) {
  const auto found = index_.find(leaf.id());
  if (found == index_.end()) return;
  const std::size_t i = found->second;
  ++added_[i];
  if (parcels_.empty()) {
    last_added_[i] = ++clock_;
    return;
  }
  require<AutogradError>(
      added_[i] <= times_[i], "'", parameters_[i].name, "' got ", added_[i],
      " gradients in one backward pass and ", times_[i],
      " in the first; processes can share only a network that always runs the same operations");
  if (added_[i] < times_[i]) return;
  --parcels_[parcel_of_[i]].awaited;
  while (sent_ < parcels_.size() && parcels_[sent_].awaited == 0) send(parcels_[sent_++]);
}

/// Parcels in the order in which their gradients are ready.
void GradientSum::plan() {
  times_ = added_;
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < parameters_.size(); ++i)
    if (times_[i] > 0) order.push_back(i);
  std::sort(order.begin(), order.end(),
            [this](std::size_t a, std::size_t b) { return last_added_[a] < last_added_[b]; });
  parcel_of_.resize(parameters_.size());
  std::size_t collected = 0;  // bytes of the small ones in the last parcel
  for (const std::size_t i : order) {
    const Tensor& value = parameters_[i].variable.value();
    const bool alone = value.bytes() >= alone_from;
    const bool joins = !alone && collected > 0 && collected + value.bytes() <= alone_from &&
                       parameters_[parcels_.back().members[0]].variable.dtype() == value.dtype();
    if (!joins) parcels_.emplace_back();
    collected = alone ? 0 : (joins ? collected : 0) + value.bytes();
    parcels_.back().members.push_back(i);
    parcel_of_[i] = parcels_.size() - 1;
  }
}

Tensor& GradientSum::gradient_of(std::size_t parameter) {
  Variable variable = parameters_[parameter].variable;
  Tensor& gradient = variable.mutable_grad();
  if (!gradient.defined()) gradient = Tensor::zeros_like(variable.value());
  return gradient;
}

void GradientSum::send(Parcel& parcel) {
  Tensor content;
  if (parcel.members.size() == 1) {
    content = gradient_of(parcel.members[0]);
  } else {
    std::int64_t size = 0, at = 0;
    for (const std::size_t i : parcel.members) size += gradient_of(i).numel();
    content = Tensor::empty_like(gradient_of(parcel.members[0]), {size});
    for (const std::size_t i : parcel.members) {
      const Tensor& gradient = gradient_of(i);
      content.slice(at, gradient.numel()).copy_from(gradient.reshape({-1}));
      at += gradient.numel();
    }
  }
  const bool halved = travel_ == DType::bfloat16 && content.dtype() == DType::float32;
  parcel.content = halved ? content.to(DType::bfloat16) : content;
  parcel.transfer = ranks_.start_all_reduce(parcel.content);
}

void GradientSum::receive(Parcel& parcel) {
  parcel.transfer->wait();
  parcel.transfer.reset();
  Tensor sum = std::exchange(parcel.content, Tensor());
  if (sum.dtype() == DType::bfloat16) sum = sum.to(DType::float32);
  sum = sum.reshape({-1});
  std::int64_t at = 0;
  for (const std::size_t i : parcel.members) {
    Tensor& gradient = gradient_of(i);
    const Shape shape = gradient.shape();
    gradient = sum.slice(at, shape.numel()).reshape(shape);
    at += shape.numel();
  }
}

}  // namespace fer
