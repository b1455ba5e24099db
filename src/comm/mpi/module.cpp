// The module fer_mpi: messages by MPI.
#include <mpi.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <stdexcept>
#include <thread>

#include "comm/transport.h"

namespace fer::comm {
namespace {

static_assert(sizeof(MPI_Request) <= sizeof(Request));

MPI_Request& mpi_request(Request& request) {
  return *reinterpret_cast<MPI_Request*>(&request);
}

void check(int status, const char* call) {
  if (status == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(status, text, &length);
  throw std::runtime_error(std::string(call) + ": " + std::string(text, static_cast<std::size_t>(length)));
}

class MpiTransport final : public Transport {
 public:
  MpiTransport() {
    int provided = 0;
    // Messages are another thread's work than the one that starts MPI.
    check(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
    if (provided < MPI_THREAD_SERIALIZED)
      throw std::runtime_error("MPI_Init_thread: this MPI library allows calls from one thread only");
    // A communicator of our own: messages of other users of MPI in this process stay apart.
    check(MPI_Comm_dup(MPI_COMM_WORLD, &world_), "MPI_Comm_dup");
    check(MPI_Comm_set_errhandler(world_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler");
    check(MPI_Comm_rank(world_, &rank_), "MPI_Comm_rank");
    check(MPI_Comm_size(world_, &size_), "MPI_Comm_size");
  }
  ~MpiTransport() override {
    if (given_up_) return;
    MPI_Comm_free(&world_);
    MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::string host() const override {
    char name[MPI_MAX_PROCESSOR_NAME];
    int length = 0;
    check(MPI_Get_processor_name(name, &length), "MPI_Get_processor_name");
    return {name, static_cast<std::size_t>(length)};
  }
  std::string library() const override {
    char text[MPI_MAX_LIBRARY_VERSION_STRING];
    int length = 0;
    check(MPI_Get_library_version(text, &length), "MPI_Get_library_version");
    const std::string all(text, static_cast<std::size_t>(length));
    return all.substr(0, all.find_first_of(",\n"));
  }

  Request send(const void* data, std::size_t bytes, int to, int tag) override {
    Request request = 0;
    check(MPI_Isend(data, static_cast<int>(bytes), MPI_BYTE, to, tag, world_, &mpi_request(request)),
          "MPI_Isend");
    return request;
  }
  Request receive(void* data, std::size_t bytes, int from, int tag) override {
    Request request = 0;
    check(MPI_Irecv(data, static_cast<int>(bytes), MPI_BYTE, from, tag, world_, &mpi_request(request)),
          "MPI_Irecv");
    return request;
  }
  bool test(Request& request) override {
    int done = 0;
    check(MPI_Test(&mpi_request(request), &done, MPI_STATUS_IGNORE), "MPI_Test");
    return done != 0;
  }

  void give_up() noexcept override { given_up_ = true; }
  void abort(int code) noexcept override {
    // A launcher on a machine that is cut off does not answer.
    std::thread([code] {
      std::this_thread::sleep_for(std::chrono::seconds(5));
      ::_exit(code);
    }).detach();
    MPI_Abort(world_, code);
    ::_exit(code);
  }

 private:
  MPI_Comm world_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  bool given_up_ = false;
};

}  // namespace
}  // namespace fer::comm

extern "C" __attribute__((visibility("default"))) const fer::comm::MpiModule fer_mpi_module{
    []() -> fer::comm::Transport* { return new fer::comm::MpiTransport; }};
