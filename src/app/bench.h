// What `fer bench` measures, as numbers that a table and JSON are made of.
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
  double seconds = 0.5;  ///< a measurement takes at least this long
  bool cpu_time = false, checkpointing = false;
  bool graph = false;  ///< model and train: capture the work once and replay it
};

/// Peaks of this machine, measured in this process.
struct MachinePeaks {
  double gflops = 0;     ///< multiply-adds on registers, all threads; 0 where it is not measured
  double gigabytes = 0;  ///< a[i] = b[i] + s c[i] over arrays far larger than the caches, bytes moved
};

struct Measurement {
  std::string name;
  int batch = 0;
  double milliseconds = 0;  ///< ops: the least of the runs; model and train: the median, of the whole batch
  double flops = 0, bytes = 0;  ///< of one run; 0: not a figure of this measurement
  double peak_memory = 0;       ///< bytes of tensors at most; 0: not measured
  double process_memory = 0;    ///< bytes that the whole process held at most, so far; 0: not measured
  double state_memory = 0;      ///< of those, what no step can do without: weights, gradients, Adam's moments
};

MachinePeaks measure_peaks(const BenchOptions& options);
std::string machine_description(Device device);

std::vector<Measurement> bench_ops(const BenchOptions& options,
                                   const std::function<void(const Measurement&)>& done);
std::vector<Measurement> bench_model(const BenchOptions& options,
                                     const std::function<void(const Measurement&)>& done);
std::vector<Measurement> bench_train(const BenchOptions& options,
                                     const std::function<void(const Measurement&)>& done);

/// Inference at batches 1 to 64 (or `options.batches`) with 1, 2, 4, ... threads; `svg`: where a chart of it
/// goes, if not empty.
std::vector<Measurement> bench_scaling(const BenchOptions& options, const std::filesystem::path& svg,
                                       const std::function<void(const Measurement&)>& done);

/// Seconds of a run of `work` and of waiting for the device, until BenchOptions::seconds have gone by, three
/// runs at least, after one to warm up; sorted. A device with a queue is timed by events in it, and work that
/// it does in less than a millisecond as the mean of several runs.
std::vector<double> run_times(const BenchOptions& options, const std::function<void()>& work);

}  // namespace fer::app
