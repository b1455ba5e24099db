// Graphs, events and uploads on the devices with a queue: cuda, or else simt.
#include <numeric>

#include "fer/tensor/uploader.h"
#include "tests/ops/op_test.h"

namespace fer::test {
namespace {

bool has_queue(Device device) {
  return backend(device).runtime() != nullptr;
}

Tensor counting(std::int64_t n, Device device, float first = 0) {
  std::vector<float> values(static_cast<std::size_t>(n));
  std::iota(values.begin(), values.end(), first);
  return Tensor::from<float>({n}, values, device);
}

OP_TEST("graph: captured work is done at each replay, in the same memory") {
  if (!has_queue(device)) return;
  NoGrad no_grad;
  Variable x(counting(5, device));
  Variable y;
  const auto graph = capture_graph(device, [&] { y = scale(mul(x, x), 2.0); });
  CHECK(graph->operations() >= 2);
  graph->replay();
  check_values(y.value(), {5}, {0, 2, 8, 18, 32});
  x.mutable_value().copy_from(counting(5, device, 10));
  graph->replay();
  check_values(y.value(), {5}, {200, 242, 288, 338, 392});
}

OP_TEST("graph: replayed steps give the same gradients as direct ones") {
  if (!has_queue(device)) return;
  Variable w(counting(6, device, 1), true);
  Tensor x = counting(6, device);
  const auto loss = [&] { return sum(mul(mul(w, w), Variable(x))); };
  const auto graph = capture_graph(device, [&] { loss().backward(); });
  const Tensor gradient = w.grad();
  for (float first : {0.0f, 3.0f}) {
    x.copy_from(counting(6, device, first));
    graph->replay();
    const std::vector<double> captured = numbers(gradient);
    w.zero_grad();
    loss().backward();
    CHECK(captured == numbers(w.grad()));
  }
}

OP_TEST("graph: dropout draws the masks of the steps that it is replayed for") {
  if (!has_queue(device)) return;
  NoGrad no_grad;
  const Variable x(Tensor::full({40, 3}, 1.0, DType::float32, device));
  for (const DropoutMask kind : {DropoutMask::element, DropoutMask::sample}) {
    const auto mask = [&](std::uint64_t step) {
      RandomScope random(5, step);
      return dropout(x, 0.5, RandomScope::key(fnv1a64("layer")), kind);
    };
    Variable y;
    const auto graph = capture_graph(device, [&] { y = mask(3); });
    for (std::uint64_t advance : {0, 1, 7}) {
      graph->replay(advance);
      CHECK(numbers(y.value()) == numbers(mask(3 + advance).value()));
    }
    CHECK(numbers(mask(3).value()) != numbers(mask(4).value()));
  }
}

OP_TEST("graph: results outlive their graph, and its inputs outlive their owner") {
  if (!has_queue(device)) return;
  NoGrad no_grad;
  Backend& b = backend(device);
  const std::size_t before = b.memory_stats().live;
  {
    Variable y;
    {
      auto x = std::make_unique<Variable>(counting(1000, device));
      const auto graph = capture_graph(device, [&] {
        y = scale(scale(*x, 3.0), 2.0);
        x.reset();  // the graph still reads it
      });
      graph->replay();
    }
    CHECK(numbers(y.value())[999] == 5994);
  }
  CHECK(b.memory_stats().live == before);
}

OP_TEST("graph: work that cannot be captured is an error, and leaves the device as it was") {
  if (!has_queue(device)) {
    CHECK_THROWS_AS(capture_graph(device, [] {}), CaptureError);
    return;
  }
  const std::string prefix =
      concat("[", device, "] a captured step cannot wait for the device, but it asks for ");
  Variable x(counting(3, device));
  CHECK_MESSAGE_OF(capture_graph(device, [&] { sum(x).item(); }), CaptureError,
                   (prefix + "a copy of 4 bytes to the host").c_str());
  CHECK_MESSAGE_OF(capture_graph(device, [&] { counting(3, device); }), CaptureError,
                   (prefix + "a copy of 12 bytes from the host").c_str());
  CHECK_MESSAGE_OF(capture_graph(device, [&] { backend(device).synchronize(); }), CaptureError,
                   (prefix + "all work to end").c_str());
  CHECK_MESSAGE_OF(capture_graph(device, [&] { capture_graph(device, [] {}); }), CaptureError,
                   (prefix + "a capture within it").c_str());
  CHECK_FALSE(is_capturing(device));
  CHECK(sum(x).item() == 3);  // works as before
}

OP_TEST("graph: label values are not checked while a step is captured") {
  if (!has_queue(device)) return;
  const Tensor classes = labels({0, 1, 1, 0}, device);
  Variable scores(Tensor::from<float>({4, 2}, {1, 2, 3, 4, 5, 6, 7, 8}, device), true);
  Variable loss;
  const auto graph = capture_graph(device, [&] {
    loss = add(cross_entropy(scores, classes), neaa_loss(scores, scores.value(), classes, 1));
  });
  graph->replay();
  const Variable plain = add(cross_entropy(scores, classes), neaa_loss(scores, scores.value(), classes, 1));
  CHECK(loss.item() == plain.item());
}

OP_TEST("events: measure the time between two points of the queue") {
  if (!has_queue(device)) return;
  DeviceRuntime& runtime = *backend(device).runtime();
  const auto start = runtime.record();
  Variable x(counting(1000, device));
  for (int i = 0; i < 3; ++i) x = scale(x, 0.5);
  const auto stop = runtime.record();
  CHECK(runtime.seconds_between(*start, *stop) >= 0);
  CHECK(runtime.seconds_between(*start, *stop) < 60);
}

OP_TEST("uploader: three uploads through two buffers, with changing shapes") {
  Uploader uploader(device);
  Tensor bytes = Tensor::from<std::uint8_t>({2, 3}, {1, 2, 3, 4, 5, 6});
  auto ticket = uploader.start({bytes, Tensor(), counting(4, Device::cpu)});
  for (int i = 0; i < 3; ++i) {
    const std::vector<Tensor> got = uploader.finish(ticket);
    REQUIRE(got.size() == 3);
    CHECK(got[0].device() == device);
    CHECK_FALSE(got[1].defined());
    const auto next = counting(5 + i, Device::cpu, static_cast<float>(i));
    ticket = uploader.start({bytes, Tensor(), next});
    CHECK(got[0].to(Device::cpu).to_vector<std::uint8_t>() == std::vector<std::uint8_t>{1, 2, 3, 4, 5, 6});
    CHECK(numbers(got[2]) == numbers(i == 0 ? counting(4, Device::cpu)
                                            : counting(4 + i, Device::cpu, static_cast<float>(i - 1))));
  }
  if (!has_queue(device)) return;
  CHECK_MESSAGE_OF(
      uploader.start({counting(3, device)}), TypeError,
      concat("[upload] tensor 0 is on ", device, "; only tensors of the CPU are uploaded").c_str());
}

OP_TEST("math mode: errors say what a device lacks") {
  const MathModeScope scope(device, MathMode::native);
  CHECK(math_mode(device) == MathMode::native);
  CHECK(parse_math_mode("library") == MathMode::library);
  CHECK_MESSAGE_OF(parse_math_mode("mkl"), ConfigError, "unknown math mode 'mkl'; known are native, library");
  if (device == Device::cuda) return;
  CHECK_THROWS_AS(set_math_mode(device, MathMode::library), DeviceError);
}

}  // namespace
}  // namespace fer::test
