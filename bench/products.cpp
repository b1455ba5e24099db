// Speed of the CPU's products and convolutions on the layers of the model, forward and backward, in GFLOP/s
// of the direct algorithm and as a share of the peak that this machine's multiply-adds reach in this process.
//
//   bench_products [--batch 16] [--repeat 7] [--cpu-time] [filter]      the filter is a part of a layer's
//   name
//
// --cpu-time runs one thread and counts the time that it ran, for machines that are shared with others.
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "cpu/gemm_kernels.h"
#include "fer/tensor/backend.h"

namespace {

using fer::Conv2dOptions;
using fer::Shape;
using fer::Tensor;

bool cpu_time = false;

double now() {
  if (cpu_time) return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double seconds(const std::function<void()>& work) {
  const double begin = now();
  work();
  return now() - begin;
}

// The least of several runs: the machine may be shared, and noise only ever adds.
double best_seconds(const std::function<void()>& work, int repeat) {
  work();
  double best = 1e30;
  for (int i = 0; i < repeat; ++i) best = std::min(best, seconds(work));
  return best;
}

// GFLOP/s of multiply-adds on registers alone, all threads together.
double measured_peak() {
  double best = 0;
  for (int i = 0; i < 10; ++i) {
    double flops = 0;
    const double time = seconds([&] {
#pragma omp parallel reduction(+ : flops)
      flops += fer::detail::product_kernels<float>().peak(2'000'000);
    });
    best = std::max(best, flops / time * 1e-9);
  }
  return best;
}

Tensor filled(const Shape& shape) {
  Tensor t = Tensor::empty(shape);
  float* data = t.mutable_data<float>();
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < t.numel(); ++i) {
    state = state * 1664525u + 1013904223u;
    data[i] = static_cast<float>(state >> 8) * 0x1p-23f - 1.0f;
  }
  return t;
}

struct Bench {
  std::int64_t batch = 16;
  int repeat = 7;
  std::string filter;
  double peak = 0;

  void report(const std::string& name, double flops, const std::function<void()>& forward,
              const std::function<void()>& input, const std::function<void()>& weight) const {
    std::printf("%-30s", name.c_str());
    for (const auto& pass : {forward, input, weight}) {
      const double time = best_seconds(pass, repeat);
      std::printf("  %8.2f ms %6.1f %4.0f%%", time * 1e3, flops / time * 1e-9, flops / time * 1e-7 / peak);
    }
    std::printf("\n");
    std::fflush(stdout);
  }

  bool skips(const std::string& name) const { return name.find(filter) == std::string::npos; }

  void conv(std::int64_t size, std::int64_t in, std::int64_t out, std::int64_t kernel, int stride,
            bool depthwise = false) const {
    const std::string name = (depthwise ? "depthwise " : "conv ") + std::to_string(kernel) + "x" +
                             std::to_string(kernel) + " s" + std::to_string(stride) + " " +
                             std::to_string(size) + "px " + std::to_string(in) + "->" + std::to_string(out);
    if (skips(name)) return;
    fer::Backend& cpu = fer::backend(fer::Device::cpu);
    // the 7x7 depthwise kernel of the landmark head sees its whole map
    const int padding = kernel == size ? 0 : static_cast<int>(kernel / 2);
    const std::int64_t out_size = (size + 2 * padding - kernel) / stride + 1;
    const Tensor x = filled({batch, size, size, in}), dy = filled({batch, out_size, out_size, out});
    const Tensor w = filled({out, kernel, kernel, depthwise ? 1 : in});
    Tensor y = Tensor::empty_like(dy), dx = Tensor::empty_like(x), dw = Tensor::empty_like(w), none;
    const Conv2dOptions options{stride, padding, 1};
    const double flops = 2.0 * static_cast<double>(dy.numel() * kernel * kernel * (depthwise ? 1 : in));
    if (depthwise) {
      report(
          name, flops, [&] { cpu.depthwise_conv2d_forward(x, w, options, y); },
          [&] { cpu.depthwise_conv2d_backward_input(dy, w, options, dx); },
          [&] { cpu.depthwise_conv2d_backward_weight(x, dy, options, dw); });
    } else {
      report(
          name, flops, [&] { cpu.conv2d_forward(x, w, none, options, y); },
          [&] { cpu.conv2d_backward_input(dy, w, options, dx); },
          [&] { cpu.conv2d_backward_weight(x, dy, options, dw, none); });
    }
  }

  void linear(std::int64_t rows, std::int64_t in, std::int64_t out) const {
    const std::string name =
        "linear " + std::to_string(rows) + " x " + std::to_string(in) + "->" + std::to_string(out);
    if (skips(name)) return;
    fer::Backend& cpu = fer::backend(fer::Device::cpu);
    const Tensor x = filled({rows, in}), dy = filled({rows, out}), w = filled({out, in}), b = filled({out});
    Tensor y = Tensor::empty_like(dy), dx = Tensor::empty_like(x), dw = Tensor::empty_like(w);
    Tensor db = Tensor::empty_like(b);
    report(
        name, 2.0 * static_cast<double>(rows * in * out), [&] { cpu.linear_forward(x, w, b, y); },
        [&] { cpu.linear_backward_input(dy, w, dx); }, [&] { cpu.linear_backward_weight(x, dy, dw, db); });
  }

  void matmul(std::int64_t items, std::int64_t m, std::int64_t n, std::int64_t k) const {
    const std::string name = "matmul " + std::to_string(items) + " x " + std::to_string(m) + " " +
                             std::to_string(n) + " " + std::to_string(k);
    if (skips(name)) return;
    fer::Backend& cpu = fer::backend(fer::Device::cpu);
    const Tensor a = filled({items, m, k}), b = filled({items, k, n});
    const Tensor bt = filled({items, n, k}), at = filled({items, k, m});
    Tensor y = Tensor::empty({items, m, n});
    report(
        name, 2.0 * static_cast<double>(items * m * n * k), [&] { cpu.matmul(a, false, b, false, y); },
        [&] { cpu.matmul(a, false, bt, true, y); }, [&] { cpu.matmul(at, true, b, false, y); });
  }
};

void run(const Bench& bench) {
  std::printf("%-30s  %-23s  %-23s  %-23s\n", "", "forward", "input gradient", "weight gradient");
  // the image backbone
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
  // the image backbone of the small preset
  bench.conv(112, 3, 16, 3, 2);
  bench.conv(56, 16, 24, 3, 1);
  bench.conv(56, 24, 24, 3, 2);
  bench.conv(28, 24, 48, 3, 1);
  bench.conv(28, 48, 48, 3, 2);
  bench.conv(14, 48, 48, 3, 1);
  bench.conv(14, 48, 96, 3, 1);
  bench.conv(14, 96, 96, 3, 1);
  // the landmark backbone
  bench.conv(112, 3, 64, 3, 2);
  bench.conv(56, 64, 128, 1, 1);
  bench.conv(28, 128, 64, 1, 1);
  bench.conv(28, 64, 128, 1, 1);
  bench.conv(14, 128, 256, 1, 1);
  bench.conv(14, 256, 128, 1, 1);
  bench.conv(7, 128, 512, 1, 1);
  bench.conv(56, 64, 64, 3, 1, true);
  bench.conv(56, 128, 128, 3, 2, true);
  bench.conv(28, 128, 128, 3, 1, true);
  bench.conv(14, 256, 256, 3, 1, true);
  bench.conv(7, 512, 512, 7, 1, true);
  // the attention
  bench.linear(197 * bench.batch, 256, 768);
  bench.linear(197 * bench.batch, 768, 768);
  bench.linear(197 * bench.batch, 768, 3072);
  bench.linear(197 * bench.batch, 3072, 768);
  bench.linear(197 * bench.batch, 96, 96);
  bench.linear(197 * bench.batch, 96, 192);
  bench.linear(197 * bench.batch, 192, 96);
  bench.linear(bench.batch, 768, 768);
  bench.linear(bench.batch, 768, 3072);
  bench.linear(bench.batch, 768, 7);
  bench.matmul(1, 1024, 1024, 1024);
  bench.matmul(8 * bench.batch, 197, 197, 96);
}

}  // namespace

int main(int argc, char** argv) {
  Bench bench;
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument == "--batch" && i + 1 < argc) {
      bench.batch = std::atoi(argv[++i]);
    } else if (argument == "--repeat" && i + 1 < argc) {
      bench.repeat = std::atoi(argv[++i]);
    } else if (argument == "--cpu-time") {
      cpu_time = true;
      omp_set_num_threads(1);
    } else {
      bench.filter = argument;
    }
  }
  bench.peak = measured_peak();
  std::printf("%s, %d threads, peak %.1f GFLOP/s, batch %lld\n", fer::detail::product_kernels<float>().name,
              omp_get_max_threads(), bench.peak, static_cast<long long>(bench.batch));
  run(bench);
  return 0;
}
