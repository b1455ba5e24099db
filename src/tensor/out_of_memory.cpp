#include "tensor/out_of_memory.h"

#include "fer/error.h"
#include "fer/tensor/current_op.h"

namespace fer {
namespace {

std::string megabytes(std::size_t bytes) {
  std::ostringstream out;
  out.precision(1);
  out << std::fixed << static_cast<double>(bytes) / (1 << 20) << " MiB";
  return out.str();
}

}  // namespace

void throw_out_of_memory(const MemoryShortage& s) {
  std::string text = concat("device ", s.device, " is out of memory: ", megabytes(s.asked), " asked for");
  if (!current_op().empty()) text += concat(" by [", current_op(), "]");
  text += concat(", ", megabytes(s.live), " in use");
  if (s.kept > 0) text += concat(", ", megabytes(s.kept), " kept for reuse");
  if (s.limit > 0) text += concat(" of a limit of ", megabytes(s.limit));
  if (s.total > 0) text += concat(", ", megabytes(s.free), " of the device's ", megabytes(s.total), " free");
  throw DeviceError(text + ". A smaller batch or gradient checkpointing needs less.");
}

}  // namespace fer
