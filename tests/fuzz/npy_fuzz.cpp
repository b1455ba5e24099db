#include "data/npy.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fer;
  const char* path = fuzz::file_of(data, size);
  fuzz::answer_or_error([&] { (void)detail::read_npy(path); });
  fuzz::answer_or_error([&] { (void)detail::affectnet_arousal(path); });
  fuzz::answer_or_error([&] { (void)detail::affectnet_landmarks(path, 96, 64); });
  return 0;
}
