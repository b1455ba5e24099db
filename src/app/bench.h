// The measurements of `fer bench` as numbers, for tables and JSON.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "fer/tensor/device.h"

namespace fer::app {

struct BenchOptions {
  Device device = Device::cpu;
  std::string preset = "paper", only;
  std::vector<int> batches;
  double seconds = 0.5;  ///< minimum duration of a measurement
  bool cpu_time = false, checkpointing = false;
  bool graph = false;  ///< model and train: capture the work once and replay it
};

/// Peaks of this machine, measured in this process.
struct MachinePeaks {
  double gflops = 0;     ///< multiply-adds on registers, all threads; 0: not measured
  double gigabytes = 0;  ///< a[i] = b[i] + s c[i] over arrays far larger than the caches, bytes moved
};

struct Measurement {
  std::string name;
  int batch = 0;
  double milliseconds = 0;      ///< ops: minimum of the runs; model and train: median, for the whole batch
  double flops = 0, bytes = 0;  ///< of one run; 0: not applicable
  double peak_memory = 0;       ///< maximum bytes of tensors; 0: not measured
  double process_memory = 0;    ///< maximum bytes of the whole process so far; 0: not measured
  double state_memory = 0;      ///< bytes that every step needs: weights, gradients, Adam's moments
};

MachinePeaks measure_peaks(const BenchOptions& options);
std::string machine_description(Device device);

std::vector<Measurement> bench_ops(const BenchOptions& options,
                                   const std::function<void(const Measurement&)>& done);
std::vector<Measurement> bench_model(const BenchOptions& options,
                                     const std::function<void(const Measurement&)>& done);
std::vector<Measurement> bench_train(const BenchOptions& options,
                                     const std::function<void(const Measurement&)>& done);

/// Inference at batches 1 to 64 (or `options.batches`) with 1, 2, 4, ... threads. Writes a chart to `svg`
/// unless it is empty.
std::vector<Measurement> bench_scaling(const BenchOptions& options, const std::filesystem::path& svg,
                                       const std::function<void(const Measurement&)>& done);

/// Sorted times in seconds of `work`, including the wait for the device. After one warm-up run, it repeats
/// `work` until BenchOptions::seconds have passed, at least three times. A device with a queue is timed by
/// events in it; work of less than a millisecond is timed as the mean of several runs.
std::vector<double> run_times(const BenchOptions& options, const std::function<void()>& work);

}  // namespace fer::app
