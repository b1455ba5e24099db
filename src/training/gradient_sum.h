// GradientSum: replaces gradients by their sums over the ranks of a run, while backward still computes others.
//
// A gradient is ready when backward has added to it for the last time. How often it adds to each is learnt in
// the first pass, whose gradients are summed after it: the tape knows it, but not that of a part that
// checkpoint() recomputes. Large gradients travel alone, in place; small ones travel together, as a message
// costs as much as some hundred kilobytes. Parcels set out in a fixed order, the same on all ranks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "fer/layers/module.h"
#include "fer/tensor/communicator.h"

namespace fer {

class GradientSum {
 public:
  /// `travel`: float32, or bfloat16, which halves the bytes of float32 gradients.
  GradientSum(Communicator& ranks, std::vector<NamedVariable> parameters, DType travel = DType::float32);
  ~GradientSum();

  /// Runs `backward`, which gives the parameters this rank's gradients; they must be undefined before.
  /// Afterwards they are the sums. All ranks must run the same operations in each call: AutogradError if a
  /// parameter gets more gradients than in the first.
  void run(const std::function<void()>& backward);

 private:
  struct Parcel {
    std::vector<std::size_t> members;  ///< parameters
    std::size_t awaited = 0;           ///< members whose gradients are not ready
    Tensor content;
    std::unique_ptr<Transfer> transfer;
  };
  class Listener;

  void on_gradient(const Variable& leaf);
  void plan();
  void send(Parcel& parcel);
  void receive(Parcel& parcel);
  Tensor& gradient_of(std::size_t parameter);

  Communicator& ranks_;
  std::vector<NamedVariable> parameters_;
  DType travel_;
  std::unordered_map<const void*, std::size_t> index_;  // of a parameter, by Variable::id()
  std::vector<int> times_;                              // by parameter: how often backward adds to it
  std::vector<int> added_;                              // in this pass
  std::vector<std::int64_t> last_added_;                // when, in the first pass
  std::int64_t clock_ = 0;
  std::vector<std::size_t> parcel_of_;  // by parameter
  std::vector<Parcel> parcels_;
  std::size_t sent_ = 0;  // parcels, in this pass
};

}  // namespace fer
