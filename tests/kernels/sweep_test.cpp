// Every kernel on ragged shapes against the CPU, in every order of lanes and blocks and with early and late
// cp.async. Built twice: test_kernels runs the kernels compiled as in production (under AddressSanitizer in
// the preset asan). In test_kernels_race the kernels report every access to the executor's checker, which
// finds races, reads of uninitialised memory, and accesses out of bounds.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <regex>

#include "fer/simt/executor.h"
#include "tests/kernels/kernel_case.h"
#include "tests/ops/test_devices.h"
#include "tests/paths.h"

namespace fer::test {
namespace {

std::vector<KernelCase> all_cases() {
  std::vector<KernelCase> cases = basic_cases();
  for (auto more : {channel_cases(), product_cases(), loss_cases()}) {
    std::move(more.begin(), more.end(), std::back_inserter(cases));
  }
  return cases;
}

std::vector<double> numbers_of(const Tensor& x) {
  return x.to(Device::cpu).to(DType::float64).to_vector<double>();
}

/// max |a - b| / max(1, |b|) over all elements; infinite if exactly one of a and b is NaN.
double worst_difference(const Tensor& a, const Tensor& b) {
  const std::vector<double> x = numbers_of(a), y = numbers_of(b);
  double worst = x.size() == y.size() ? 0 : HUGE_VAL;
  for (std::size_t i = 0; i < std::min(x.size(), y.size()); ++i) {
    if (x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]))) continue;
    const double error = std::abs(x[i] - y[i]) / std::max(1.0, std::abs(y[i]));
    worst = std::isnan(error) ? HUGE_VAL : std::max(worst, error);
  }
  return worst;
}

/// Runs a case on `device` and returns the problems; empty if there are none.
std::string problem(const KernelCase& c, Device device, DType dtype, const std::deque<Tensor>& expected) {
  Bench bench(device, dtype);
  try {
    c.run(bench);
  } catch (const Error& error) {
    return error.what();
  }
  if (bench.results().size() != expected.size()) {
    return concat(bench.results().size(), " results, the CPU has ", expected.size());
  }
  for (std::size_t i = 0; i < expected.size(); ++i) {
    // bfloat16 has 8 bits: what is stored so was rounded, and a sum of two may be of numbers up to 4 that
    // were, by up to 2^-7 each.
    const DType stored = bench.results()[i].dtype();
    const double tolerance = stored == DType::float64    ? 1e-11
                             : stored == DType::bfloat16 ? 0x1p-6
                                                         : c.float_tolerance;
    const double difference = worst_difference(bench.results()[i], expected[i]);
    if (!(difference <= tolerance)) {
      return concat("result ", i, " of shape ", expected[i].shape(), " differs by ", difference,
                    " from the CPU's");
    }
  }
  return {};
}

/// The modes in which the executor runs kernels: every order of lanes and blocks, early and late copies, and
/// the shared memory of the GPUs with the least of it (compute capability 8.6, 8.9, 12.0), for which some
/// kernels use smaller tiles. A GPU has only one mode.
std::vector<simt::Options> ways(Device device, DType dtype) {
  using simt::AsyncCopy, simt::LaneOrder;
  const simt::Options present = simt::options();
  if (device != Device::simt) return {present};
  std::vector<simt::Options> all(6, present);
  all[0].order = LaneOrder::forward, all[0].async_copy = AsyncCopy::late;
  all[1].order = LaneOrder::forward, all[1].async_copy = AsyncCopy::early;
  all[2].order = LaneOrder::reverse, all[2].async_copy = AsyncCopy::late;
  all[3].order = LaneOrder::shuffled, all[3].async_copy = AsyncCopy::early, all[3].seed = 5;
  all[4].order = LaneOrder::forward, all[4].async_copy = AsyncCopy::late, all[4].shared_limit = 99 * 1024;
  all[5].order = LaneOrder::reverse, all[5].async_copy = AsyncCopy::early, all[5].shared_limit = 99 * 1024;
  // A kernel does the same with bfloat16 as with float32, but for loads and stores.
  if (dtype == DType::bfloat16) return {all[2], all[3], all[5]};
  return all;
}

TEST_CASE("kernels: every function of Backend, on ragged shapes") {
  const std::vector<KernelCase> cases = all_cases();
  int runs = 0;
  for (const Device device : test_devices()) {
    if (device == Device::cpu) continue;
    for (const KernelCase& c : cases) {
      for (const DType dtype : {DType::float32, DType::float64, DType::bfloat16}) {
        if (dtype == DType::bfloat16 && !c.bfloat16) continue;
        Bench reference(Device::cpu, dtype);
        c.run(reference);
        for (const simt::Options& way : ways(device, dtype)) {
          const simt::OptionsScope scope(way);
          const std::string wrong = problem(c, device, dtype, reference.results());
          CHECK_MESSAGE(wrong.empty(), c.name, " on ", name_of(device), " in ", name_of(dtype), ", ",
                        simt::description(), ", ", way.shared_limit, " bytes of shared memory: ", wrong);
          ++runs;
        }
      }
    }
  }
  MESSAGE(cases.size(), " cases, ", runs, " runs");
}

TEST_CASE("kernels: every function of Backend has a case, and every case a function") {
  std::ifstream header(source_folder() / "include/fer/tensor/backend.h");
  REQUIRE(header.is_open());
  // The functions that take tensors; the others allocate memory and report on it.
  std::string text{std::istreambuf_iterator<char>(header), {}};
  const std::regex declaration(R"(virtual void (\w+)\(([^;]*)\) = 0;)");
  std::set<std::string> declared, covered;
  for (std::sregex_iterator m(text.begin(), text.end(), declaration), end; m != end; ++m) {
    const std::string arguments = (*m)[2];
    if (arguments.find("Tensor") != std::string::npos || arguments.find("Slot") != std::string::npos) {
      declared.insert((*m)[1]);
    }
  }
  CHECK(declared.size() > 55);
  for (const KernelCase& c : all_cases()) covered.insert(c.functions.begin(), c.functions.end());
  for (const std::string& name : declared) {
    CHECK_MESSAGE(covered.contains(name), name, " has no case in tests/kernels");
  }
  for (const std::string& name : covered) {
    CHECK_MESSAGE(declared.contains(name), name, " is no function of Backend");
  }
}

}  // namespace
}  // namespace fer::test
