// fer bench
#include <omp.h>
#include <sys/resource.h>

#include <iomanip>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/bench.h"
#include "app/commands.h"
#include "app/console.h"
#include "fer/losses/losses.h"
#include "fer/models/registry.h"
#include "fer/tensor/device_runtime.h"
#include "fer/training/gradient_graph.h"
#include "fer/training/optimizer.h"
#include "formats/json_document.h"
#include "training/thread_governor.h"

namespace fer::app {
namespace {

/// A batch of images of the model's size.
Variable images(const Network& model, int batch, Device device) {
  const std::int64_t side = model.config().image_size;
  Random random({1, fnv1a64("bench.images"), 0});
  std::vector<float> values(static_cast<std::size_t>(batch * side * side * 3));
  for (float& value : values) value = unit_float(random.bits()) * 4 - 2;
  return Variable(Tensor::from<float>({batch, side, side, 3}, values, device));
}

/// Bytes of all weights, plus the gradients and Adam's two moments of the trained ones.
double state_bytes(const Network& model) {
  double bytes = 0;
  for (const NamedVariable& p : model.named_parameters()) {
    bytes += static_cast<double>(p.variable.value().bytes()) * (p.variable.requires_grad() ? 4 : 1);
  }
  return bytes;
}

/// The maximum memory of this process so far, in bytes.
double process_peak() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return 1024.0 * static_cast<double>(usage.ru_maxrss);
}

double median(const std::vector<double>& sorted) {
  return sorted[sorted.size() / 2];
}

std::unique_ptr<Network> make_model(const BenchOptions& options) {
  const SkipInit skip;
  std::unique_ptr<Network> model = make_network(model_config(options.preset));
  model->initialise(1);
  model->freeze_landmarks();
  model->to(options.device);
  return model;
}

}  // namespace

std::vector<Measurement> bench_model(const BenchOptions& options,
                                     const std::function<void(const Measurement&)>& done) {
  const auto model = make_model(options);
  model->eval();
  std::vector<Measurement> all;
  for (int batch : options.batches) {
    const Tensor x = images(*model, batch, options.device).value();
    backend(options.device).reset_peak_memory();
    std::function<void()> work = [&] { model->infer(x); };
    std::unique_ptr<DeviceGraph> graph;
    if (options.graph) {
      work();  // one-time set-up cannot be captured
      graph = capture_graph(options.device, work);
      work = [&] { graph->replay(); };
    }
    const auto times = run_times(options, work);
    const auto memory = static_cast<double>(backend(options.device).memory_stats().peak);
    all.push_back({options.graph ? "inference, replayed" : "inference", batch, 1e3 * median(times), 0, 0,
                   memory, process_peak(), 0});
    done(all.back());
  }
  return all;
}

std::vector<Measurement> bench_train(const BenchOptions& options,
                                     const std::function<void(const Measurement&)>& done) {
  const auto model = make_model(options);
  model->set_checkpointing(options.checkpointing);
  model->train();
  Adam adam(model->parameters(), {.lr = 3.5e-5});
  FERLossConfig config;
  if (!model_config(options.preset).for_faces()) config.auxiliary = AuxiliaryLoss::none;
  config.neutral = model->config().classes - 1;
  const FERLoss criterion(config);
  std::vector<Measurement> all;
  for (int batch : options.batches) {
    const Variable x = images(*model, batch, options.device);
    std::vector<std::int64_t> labels(static_cast<std::size_t>(batch));
    for (std::size_t i = 0; i < labels.size(); ++i)
      labels[i] = static_cast<std::int64_t>(i) % model->config().classes;
    const Tensor truth = Tensor::from<std::int64_t>({batch}, labels, options.device);
    std::uint64_t step = 0;
    backend(options.device).reset_peak_memory();
    const auto compute = [&] {
      const NetworkOutput out = (*model)(x);
      criterion(out.scores, out.token, truth).total.backward();
    };
    std::unique_ptr<GradientGraph> graph;
    const auto work = [&] {
      if (graph) {
        graph->replay(step);
      } else {
        RandomScope random(1, step);
        compute();
      }
      ++step;
      NoGrad no_grad;
      adam.step();
      adam.zero_grad();
    };
    if (options.graph) {
      work();
      graph = std::make_unique<GradientGraph>(adam.parameters(), 1, step, compute);
    }
    const auto times = run_times(options, work);
    const auto memory = static_cast<double>(backend(options.device).memory_stats().peak);
    all.push_back({concat("training step", options.checkpointing ? ", checkpointed" : "",
                          options.graph ? ", replayed" : ""),
                   batch, 1e3 * median(times), 0, 0, memory, process_peak(), state_bytes(*model)});
    done(all.back());
  }
  return all;
}

namespace {

void print(const Measurement& m, const MachinePeaks& peaks) {
  std::cout << std::left << std::setw(44) << m.name << std::right << std::setw(6) << m.batch << std::fixed
            << std::setprecision(3) << std::setw(12) << m.milliseconds << " ms" << std::setprecision(1);
  const double seconds = m.milliseconds * 1e-3;
  if (m.flops > 0) {
    std::cout << std::setw(9) << 1e-9 * m.flops / seconds << " GFLOP/s";
    if (peaks.gflops > 0) std::cout << std::setw(6) << 1e-7 * m.flops / seconds / peaks.gflops << " %";
  } else if (m.bytes > 0) {
    std::cout << std::setw(9) << 1e-9 * m.bytes / seconds << " GB/s   ";
    if (peaks.gigabytes > 0) std::cout << std::setw(6) << 1e-7 * m.bytes / seconds / peaks.gigabytes << " %";
  } else {
    std::cout << std::setw(9) << m.milliseconds / m.batch << " ms per image" << std::setw(9)
              << 1e3 * m.batch / m.milliseconds << " images/s  "
              << megabytes_text(static_cast<std::size_t>(m.peak_memory)) << " of tensors, "
              << megabytes_text(static_cast<std::size_t>(m.process_memory)) << " in all";
    if (m.state_memory > 0) {
      std::cout << "; " << megabytes_text(static_cast<std::size_t>(m.state_memory))
                << " are weights, gradients and moments";
    }
  }
  std::cout << std::endl;
}

/// Whether other programs slow down the threads of a measurement.
bool is_crowded(Device device) {
  return computes_on_host(device) && ThreadGovernor::threads_crowded(omp_get_max_threads());
}

int run(BenchOptions options, const std::string& what, const std::string& device,
        const std::string& precision, const std::string& svg, bool json) {
  options.device = checked_device(device, precision);
  require<ConfigError>(svg.empty() || what == "scaling", "bench ", what, ": --svg belongs to bench scaling");
  if (options.batches.empty() && what != "scaling")
    options.batches = what == "model" ? std::vector<int>{1, 8} : std::vector<int>{16};
  // The arrays of measure_peaks() would count as memory of a model.
  const MachinePeaks peaks = what == "ops" ? measure_peaks(options) : MachinePeaks();
  const std::string machine = machine_description(options.device);
  if (!json) {
    std::cout << machine << ", precision " << precision << "\n";
    if (peaks.gigabytes > 0) {
      std::cout << "measured peaks: " << std::fixed << std::setprecision(1);
      if (peaks.gflops > 0) std::cout << peaks.gflops << " GFLOP/s of float32, ";
      std::cout << peaks.gigabytes << " GB/s; shares below are of these\n";
    }
    std::cout << "\n";
  }
  const auto done = [&](const Measurement& m) {
    if (!json) print(m, peaks);
  };
  bool crowded = is_crowded(options.device);
  const auto all = what == "ops"       ? bench_ops(options, done)
                   : what == "model"   ? bench_model(options, done)
                   : what == "scaling" ? bench_scaling(options, svg, done)
                                       : bench_train(options, done);
  crowded = is_crowded(options.device) || crowded;
  if (crowded) {
    std::cerr
        << "fer: note: other programs keep this machine's cores busy, and threads wait for each other: these "
           "figures are far from those of a quiet machine (OMP_NUM_THREADS=1 suffers less)"
        << std::endl;
  }
  if (json) {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const Measurement& m : all) {
      list.push_back({{"name", m.name},
                      {"batch", m.batch},
                      {"ms", m.milliseconds},
                      {"flops", m.flops},
                      {"bytes", m.bytes},
                      {"peak_memory_bytes", m.peak_memory},
                      {"process_memory_bytes", m.process_memory},
                      {"state_memory_bytes", m.state_memory}});
    }
    std::cout << json_document("benchmark", 1,
                               {{"machine", machine},
                                {"precision", precision},
                                {"preset", options.preset},
                                {"crowded", crowded},
                                {"peak_gflops", peaks.gflops},
                                {"peak_gigabytes_per_second", peaks.gigabytes},
                                {"measurements", list}})
                     .dump(2)
              << "\n";
  }
  return 0;
}

}  // namespace

Command add_bench(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("bench", "Measure speed: operations, inference or training steps");
  struct Flags {
    BenchOptions options;
    std::string what = "ops", device = "cpu", precision = "float32", svg;
    bool json = false;
  };
  auto flags = std::make_shared<Flags>();
  command
      ->add_option(
          "what", flags->what,
          "ops, model (inference), train (a whole step) or scaling (inference against batch and threads)")
      ->required()
      ->check(one_of({"ops", "model", "train", "scaling"}));
  command->add_option("--model,--preset", flags->options.preset, "paper, small, resnet18, ...")
      ->check(known_words(model_names()))
      ->capture_default_str();
  command
      ->add_option("--batch", flags->options.batches,
                   "batch sizes [ops and train: 16, model: 1 8, scaling: 1 to 64]")
      ->check(CLI::Range(1, 4096));
  command->add_option("--only", flags->options.only, "operations with this text in their name");
  command->add_option("--seconds", flags->options.seconds, "minimum time of a measurement")
      ->capture_default_str();
  command->add_flag("--checkpointing", flags->options.checkpointing,
                    "train: recompute activations in backward");
  command->add_flag("--graph", flags->options.graph,
                    "model and train, on cuda and simt: capture the work once and replay it");
  command->add_flag(
      "--cpu-time", flags->options.cpu_time,
      "measure processor time, not wall-clock time, for shared machines (with OMP_NUM_THREADS=1)");
  command->add_option("--svg", flags->svg, "scaling: draw a chart into this file")->type_name("PATH");
  add_device_flag(*command, flags->device);
  add_precision_flag(*command, flags->precision);
  command->add_flag("--json", flags->json, "print the result as JSON");
  add_examples(*command, {{"fer bench ops --only conv2d", "some operations, beside this machine's peaks"},
                          {"fer bench model --model small --batch 1 8", "inference"},
                          {"fer bench train --model paper --batch 16 --json", "a training step, as JSON"},
                          {"fer bench scaling --svg scaling.svg", "batches and threads, with a chart"}});
  return [flags] {
    return run(flags->options, flags->what, flags->device, flags->precision, flags->svg, flags->json);
  };
}

}  // namespace fer::app
