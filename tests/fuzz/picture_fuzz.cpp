#include "fer/data/image.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fer;
  fuzz::answer_or_error([&] { (void)decode_image(std::span(data, size), "fuzz"); });
  return 0;
}
