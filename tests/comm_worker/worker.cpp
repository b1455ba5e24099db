// A program of several processes, for the tests of faults: fer_comm_worker <fault> <folder>. After some collectives
// the last rank is killed, stops, computes for long, throws, ends, or calls another collective. Every other rank
// writes the error that it gets to folder/rank-N.txt; all write their process id to folder/pid-N.txt. With
// FER_TEST_DEVICES=cuda its tensors are on GPUs of this machine, one for each rank.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>
#include <thread>

#include <unistd.h>

#include "fer/tensor/communicator.h"
#include "fer/tensor/device_runtime.h"

namespace {

void harm(fer::Communicator& ranks, const std::string& fault) {
  if (fault == "kill") std::raise(SIGKILL);
  if (fault == "stop") std::raise(SIGSTOP);
  if (fault == "compute") std::this_thread::sleep_for(std::chrono::seconds(8));
  if (fault == "throw") throw fer::DataError("a picture is missing");
  if (fault == "other") ranks.barrier();
}

void run(fer::Communicator& ranks, const std::string& fault, fer::Device device) {
  fer::Tensor gradient = fer::Tensor::full({50'000}, ranks.rank() + 1.0).to(device);
  for (int step = 0; step < 20; ++step) ranks.all_reduce(gradient, fer::Reduction::max);
  auto first = ranks.start_all_reduce(gradient);
  first->wait();
  if (ranks.rank() == ranks.size() - 1) {
    harm(ranks, fault);
    if (fault == "end") return;
  }
  for (int step = 0; step < 20; ++step) ranks.all_reduce(gradient, fer::Reduction::max);
}

}  // namespace

int main(int, char** argv) {
  const std::string fault = argv[1], folder = argv[2];
  std::unique_ptr<fer::Communicator> ranks;
  try {
    const char* devices = std::getenv("FER_TEST_DEVICES");
    const bool gpus = devices && std::string(devices) == "cuda";
    const fer::Device device = gpus ? fer::Device::cuda : fer::Device::cpu;
    ranks = fer::make_communicator({std::chrono::milliseconds(3000), device});
    if (gpus) fer::select_gpu(ranks->rank());
    const std::string number = std::to_string(ranks->rank());
    std::ofstream(folder + "/pid-" + number + ".txt") << ::getpid();
    try {
      run(*ranks, fault, device);
    } catch (const fer::Error& error) {
      std::ofstream(folder + "/rank-" + number + ".txt") << error.what();
      ranks->leave(error.what());
      std::this_thread::sleep_for(std::chrono::seconds(1));  // the others write their files
      ranks->end_all(1);
      return 1;
    }
  } catch (const fer::Error& error) {
    std::cerr << "fer_comm_worker: " << error.what() << "\n";
    return 1;
  }
}
