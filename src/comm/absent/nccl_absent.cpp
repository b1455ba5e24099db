// Stand-in for NCCL in a build without it.
#include "comm/nccl.h"

namespace fer {
namespace {

constexpr const char* no_nccl =
    "this build has no NCCL, without which several processes cannot use GPUs; install libnccl-dev from "
    "NVIDIA's "
    "repository, and configure with -DFER_NCCL=ON";

}  // namespace

namespace comm {

DeviceLink load_nccl() {
  throw CommunicationError(no_nccl);
}

}  // namespace comm

std::string nccl_library_name(std::string* reason) {
  if (reason) *reason = no_nccl;
  return "";
}

}  // namespace fer
