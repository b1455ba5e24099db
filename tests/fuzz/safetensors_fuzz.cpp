#include "fer/formats/safetensors.h"
#include "fer/formats/state_dict.h"
#include "tests/fuzz/fuzz.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fer;
  const char* path = fuzz::file_of(data, size);
  fuzz::answer_or_error([&] {
    const SafetensorsFile file(path);
    // Tensors are read one by one as well as together.
    for (const SafetensorsEntry& entry : file.entries())
      fuzz::answer_or_error([&] { (void)file.read(entry.name); });
    (void)read_state_file(path);
  });
  return 0;
}
