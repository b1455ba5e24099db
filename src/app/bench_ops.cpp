// Measures operations on the shapes that occur in the presets paper and small.
#include <algorithm>
#include <chrono>
#include <ctime>
#include <fstream>

#include "app/bench.h"
#include "cpu/gemm_kernels.h"
#include "fer/tensor/backend.h"
#include "fer/tensor/device_runtime.h"

namespace fer::app {
namespace {

double now(bool cpu_time) {
  if (cpu_time) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

/// Values in [-1, 1) from a fixed sequence.
Tensor filled(const Shape& shape, Device device) {
  Random random({1, fnv1a64("bench"), 0});
  std::vector<float> values(static_cast<std::size_t>(shape.numel()));
  for (float& value : values) value = static_cast<float>(random.bits() >> 8) * 0x1p-23f - 1.0f;
  return Tensor::from<float>(shape, values, device);
}

class OpBench {
 public:
  OpBench(const BenchOptions& options, int batch, const std::function<void(const Measurement&)>& done)
      : options_(options), batch_(batch), done_(done), device_(backend(options.device)) {}

  std::vector<Measurement> results;

  void conv(std::int64_t size, std::int64_t in, std::int64_t out, std::int64_t kernel, int stride) {
    const std::string name =
        concat("conv2d ", kernel, "x", kernel, " s", stride, " ", size, "px ", in, "->", out);
    if (skips_all(name)) return;
    const int padding = static_cast<int>(kernel / 2);
    const std::int64_t side = (size + 2 * padding - kernel) / stride + 1;
    const Tensor x = make({batch_, size, size, in}), dy = make({batch_, side, side, out}), none;
    const Tensor w = make({out, kernel, kernel, in});
    Tensor y = Tensor::empty_like(dy), dx = Tensor::empty_like(x), dw = Tensor::empty_like(w), no_bias;
    const Conv2dOptions o{stride, padding, 1};
    const double flops = 2.0 * static_cast<double>(dy.numel() * kernel * kernel * in);
    const double bytes = static_cast<double>(x.bytes() + dy.bytes() + w.bytes());
    measure(name + " forward", flops, bytes, [&] { device_.conv2d_forward(x, w, none, o, y); });
    prepared(name, flops, bytes, x, w, o, y);
    measure(name + " backward input", flops, bytes, [&] { device_.conv2d_backward_input(dy, w, o, dx); });
    measure(name + " backward weight", flops, bytes,
            [&] { device_.conv2d_backward_weight(x, dy, o, dw, no_bias); });
  }

  void depthwise(std::int64_t size, std::int64_t channels, int stride) {
    const std::string name = concat("depthwise_conv2d 3x3 s", stride, " ", size, "px ", channels);
    if (skips_all(name)) return;
    const std::int64_t side = (size - 1) / stride + 1;
    const Tensor x = make({batch_, size, size, channels}), dy = make({batch_, side, side, channels});
    const Tensor w = make({channels, 3, 3, 1});
    Tensor y = Tensor::empty_like(dy), dx = Tensor::empty_like(x), dw = Tensor::empty_like(w);
    const Conv2dOptions o{stride, 1, static_cast<int>(channels)};
    const double flops = 18.0 * static_cast<double>(dy.numel()),
                 bytes = static_cast<double>(x.bytes() + dy.bytes());
    measure(name + " forward", flops, bytes, [&] { device_.depthwise_conv2d_forward(x, w, o, y); });
    measure(name + " backward input", flops, bytes,
            [&] { device_.depthwise_conv2d_backward_input(dy, w, o, dx); });
    measure(name + " backward weight", flops, bytes,
            [&] { device_.depthwise_conv2d_backward_weight(x, dy, o, dw); });
  }

  void linear(std::int64_t rows, std::int64_t in, std::int64_t out) {
    const std::string name = concat("linear ", rows, " rows ", in, "->", out);
    if (skips_all(name)) return;
    const Tensor x = make({rows, in}), dy = make({rows, out}), w = make({out, in}), b = make({out});
    Tensor y = Tensor::empty_like(dy), dx = Tensor::empty_like(x), dw = Tensor::empty_like(w),
           db = Tensor::empty_like(b);
    const double flops = 2.0 * static_cast<double>(rows * in * out);
    const double bytes = static_cast<double>(x.bytes() + dy.bytes() + w.bytes());
    measure(name + " forward", flops, bytes, [&] { device_.linear_forward(x, w, b, y); });
    Tensor map = y.reshape({1, 1, rows, out});
    prepared(name, flops, bytes, x.reshape({1, 1, rows, in}), w.reshape({out, 1, 1, in}), {}, map);
    measure(name + " backward input", flops, bytes, [&] { device_.linear_backward_input(dy, w, dx); });
    measure(name + " backward weight", flops, bytes, [&] { device_.linear_backward_weight(x, dy, dw, db); });
  }

  void attention(std::int64_t queries, std::int64_t keys, std::int64_t dim, int heads) {
    const std::string name = concat("attention ", queries, " x ", keys, " of ", dim, ", ", heads, " heads");
    if (skips_all(name)) return;
    const Tensor q = make({batch_, queries, dim}), k = make({batch_, keys, dim}),
                 v = make({batch_, keys, dim});
    Tensor y = Tensor::empty_like(q), lse = Tensor::empty_like(q, {batch_, heads, queries});
    Tensor dq = Tensor::empty_like(q), dk = Tensor::empty_like(k), dv = Tensor::empty_like(v), none;
    const double products = 2.0 * static_cast<double>(batch_ * queries * keys * dim);
    const double bytes = static_cast<double>(2 * q.bytes() + 2 * k.bytes());
    measure(name + " forward", 2 * products, bytes,
            [&] { device_.attention_forward(q, k, v, {}, heads, y, lse); });
    measure(name + " backward", 5 * products, 2 * bytes,
            [&] { device_.attention_backward(q, k, v, {}, y, lse, q, heads, dq, dk, dv, none); });
  }

  void rows_and_channels(std::int64_t size, std::int64_t channels) {
    const std::string what = concat(" ", size, "px ", channels);
    const Tensor x = make({batch_, size, size, channels}), dy = make(x.shape());
    const Tensor w = make({channels}), b = make({channels});
    Tensor y = Tensor::empty_like(x), mean = Tensor::empty_like(w), inv = Tensor::empty_like(w);
    Tensor dw = Tensor::empty_like(w), db = Tensor::empty_like(w), rm = make({channels}),
           rv = Tensor::full({channels}, 1, DType::float32, options_.device), none;
    const double one = static_cast<double>(x.bytes());
    measure("add" + what, 0, 3 * one, [&] { device_.binary(BinaryOp::add, x, dy, y); });
    measure("prelu" + what + " forward", 0, 2 * one, [&] { device_.prelu_forward(x, w, y); });
    measure("prelu" + what + " backward", 0, 3 * one, [&] { device_.prelu_backward(x, w, dy, y, dw); });
    measure("batch_norm" + what + " forward", 0, 3 * one,
            [&] { device_.batch_norm_forward(x, w, b, {}, {}, 0.1, 1e-5, rm, rv, y, mean, inv); });
    measure("batch_norm" + what + " backward", 0, 5 * one,
            [&] { device_.batch_norm_backward(x, w, b, {}, mean, inv, dy, {}, y, dw, db, none); });
    measure("batch_norm_eval" + what + " forward", 0, 2 * one,
            [&] { device_.batch_norm_eval_forward(x, w, b, rm, rv, 1e-5, y); });
  }

  void tokens(std::int64_t dim) {
    const std::string what = concat(" 197 x ", dim);
    const Tensor x = make({batch_, 197, dim}), dy = make(x.shape()), w = make({dim}), b = make({dim});
    Tensor y = Tensor::empty_like(x), mean = Tensor::empty_like(x, {batch_, 197}),
           inv = Tensor::empty_like(mean);
    Tensor dw = Tensor::empty_like(w), db = Tensor::empty_like(w);
    const double one = static_cast<double>(x.bytes());
    measure("layer_norm" + what + " forward", 0, 2 * one,
            [&] { device_.layer_norm_forward(x, w, b, 1e-6, y, mean, inv); });
    measure("layer_norm" + what + " backward", 0, 3 * one,
            [&] { device_.layer_norm_backward(x, w, mean, inv, dy, y, dw, db); });
    measure("gelu" + what + " forward", 0, 2 * one, [&] { device_.activation_forward(UnaryOp::gelu, x, y); });
    measure("gelu" + what + " backward", 0, 3 * one,
            [&] { device_.activation_backward(UnaryOp::gelu, x, x, dy, y); });
    measure("dropout" + what, 0, 2 * one, [&] {
      device_.dropout(x, 0.5, {1, 2, 3}, 0, DropoutMask::element, y);
    });
  }

  void adam(std::int64_t parameters) {
    const std::string name = concat("adam ", parameters, " parameters");
    if (skips(name)) return;
    std::vector<AdamSlot> slots{{make({parameters}), make({parameters}),
                                 Tensor::zeros({parameters}, DType::float32, options_.device),
                                 Tensor::zeros({parameters}, DType::float32, options_.device)}};
    measure(name, 0, 7.0 * 4.0 * static_cast<double>(parameters), [&] { device_.adam_step(slots, {}, 1); });
  }

 private:
  /// Measures as in inference: work that depends only on the weight is done beforehand.
  void prepared(const std::string& name, double flops, double bytes, const Tensor& x, const Tensor& weight,
                const Conv2dOptions& options, Tensor& y) {
    const std::shared_ptr<PackedConv2d> packed = device_.pack_conv2d(weight, options);
    measure(name + " prepared", flops, bytes, [&] { device_.conv2d_fused_forward(x, *packed, {}, {}, y); });
  }

  bool skips(const std::string& name) const { return name.find(options_.only) == std::string::npos; }
  /// Whether --only skips every measurement whose name begins with this one.
  bool skips_all(const std::string& name) const {
    const auto ends = {" forward", " prepared", " backward input", " backward weight", " backward"};
    return std::all_of(ends.begin(), ends.end(), [&](const char* end) { return skips(name + end); });
  }
  Tensor make(const Shape& shape) const { return filled(shape, options_.device); }

  void measure(const std::string& name, double flops, double bytes, const std::function<void()>& work) {
    if (skips(name)) return;
    Measurement m{name, static_cast<int>(batch_), 1e3 * run_times(options_, work).front(), flops, bytes, 0};
    done_(m);
    results.push_back(m);
  }

  const BenchOptions& options_;
  std::int64_t batch_;
  const std::function<void(const Measurement&)>& done_;
  Backend& device_;
};

void paper_shapes(OpBench& bench, std::int64_t batch) {
  bench.conv(112, 3, 64, 3, 1);
  bench.conv(112, 64, 64, 3, 1);
  bench.conv(112, 64, 64, 3, 2);
  bench.conv(56, 64, 64, 3, 1);
  bench.conv(56, 64, 128, 3, 1);
  bench.conv(56, 128, 128, 3, 2);
  bench.conv(56, 64, 128, 1, 2);
  bench.conv(28, 128, 128, 3, 1);
  bench.conv(28, 128, 256, 3, 1);
  bench.conv(28, 256, 256, 3, 2);
  bench.conv(14, 256, 256, 3, 1);
  bench.conv(28, 64, 128, 1, 1);
  bench.conv(14, 256, 128, 1, 1);
  bench.depthwise(56, 128, 2);
  bench.depthwise(28, 128, 1);
  bench.depthwise(14, 256, 1);
  bench.linear(197 * batch, 768, 768);
  bench.linear(197 * batch, 768, 3072);
  bench.linear(197 * batch, 3072, 768);
  bench.attention(197, 197, 768, 8);
  bench.attention(1, 197, 768, 8);
  bench.rows_and_channels(112, 64);
  bench.rows_and_channels(14, 256);
  bench.tokens(768);
  bench.adam(32'000'000);
}

void small_shapes(OpBench& bench, std::int64_t batch) {
  bench.conv(112, 3, 16, 3, 2);
  bench.conv(56, 16, 24, 3, 1);
  bench.conv(56, 24, 24, 3, 2);
  bench.conv(28, 24, 48, 3, 1);
  bench.conv(14, 48, 48, 3, 1);
  bench.conv(14, 96, 96, 3, 1);
  bench.conv(28, 64, 128, 1, 1);
  bench.depthwise(28, 128, 1);
  bench.linear(197 * batch, 96, 96);
  bench.linear(197 * batch, 96, 192);
  bench.attention(197, 197, 96, 4);
  bench.rows_and_channels(56, 24);
  bench.tokens(96);
  bench.adam(400'000);
}

}  // namespace

std::vector<double> run_times(const BenchOptions& options, const std::function<void()>& work) {
  Backend& device = backend(options.device);
  DeviceRuntime* queue = options.cpu_time ? nullptr : device.runtime();
  const auto seconds_a_run = [&](int runs) {
    const double begin = now(options.cpu_time);
    const auto start = queue != nullptr ? queue->record() : nullptr;
    for (int i = 0; i < runs; ++i) work();
    const auto stop = queue != nullptr ? queue->record() : nullptr;
    if (queue != nullptr) return queue->seconds_between(*start, *stop) / runs;
    device.synchronize();
    return (now(options.cpu_time) - begin) / runs;
  };
  work();
  device.synchronize();
  constexpr double resolved = 1e-3;  // seconds; far above the resolution of events and the cost of a launch
  const int runs =
      queue != nullptr ? static_cast<int>(std::clamp(resolved / seconds_a_run(1), 1.0, 1000.0)) : 1;
  std::vector<double> times;
  const double begin = now(options.cpu_time);
  while (times.size() < 3 || now(options.cpu_time) - begin < options.seconds)
    times.push_back(seconds_a_run(runs));
  std::sort(times.begin(), times.end());
  return times;
}

MachinePeaks measure_peaks(const BenchOptions& options) {
  MachinePeaks peaks;
  if (is_emulated(options.device)) return peaks;
  if (computes_on_host(options.device)) {
    double flops = 0;
    const auto register_work = [&] {
      flops = 0;
#pragma omp parallel reduction(+ : flops)
      flops += detail::product_kernels<float>().peak(1'000'000);
    };
    const double register_time = run_times(options, register_work).front();
    peaks.gflops = 1e-9 * flops / register_time;
  }
  const std::int64_t count =
      computes_on_host(options.device) ? 1 << 24 : 1 << 26;  // 64 and 256 MiB per array
  const Tensor a = filled({count}, options.device), b = filled({count}, options.device);
  Tensor y = Tensor::empty({count}, DType::float32, options.device);
  Backend& device = backend(options.device);
  const double time = run_times(options, [&] { device.binary(BinaryOp::add, a, b, y); }).front();
  peaks.gigabytes = 1e-9 * 3 * static_cast<double>(y.bytes()) / time;
  return peaks;
}

std::string machine_description(Device device) {
  std::string processor = "unknown processor";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0) {
      processor = line.substr(line.find(':') + 2);
      break;
    }
  }
  return concat(processor, "; ", backend(device).description());
}

std::vector<Measurement> bench_ops(const BenchOptions& options,
                                   const std::function<void(const Measurement&)>& done) {
  std::vector<Measurement> all;
  for (int batch : options.batches) {
    OpBench bench(options, batch, done);
    if (options.preset == "paper") {
      paper_shapes(bench, batch);
    } else if (options.preset == "small") {
      small_shapes(bench, batch);
    } else {
      throw ConfigError(concat("bench ops: shapes are known for the presets paper and small, not for '",
                               options.preset, "'"));
    }
    all.insert(all.end(), bench.results.begin(), bench.results.end());
  }
  require<ConfigError>(!all.empty(), "bench ops: no operation has '", options.only, "' in its name");
  return all;
}

}  // namespace fer::app
