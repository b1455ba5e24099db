// PyTorch checkpoints. An input is a whole file or, after a zero byte, only the pickle of a file in the zip
// format. In the latter case the file gets valid checksums, which mutations of a whole file would break.
#include "fer/formats/pytorch.h"
#include "fer/formats/state_dict.h"
#include "formats/stored_zip.h"
#include "tests/fuzz/fuzz.h"

namespace {

std::string around_pickle(std::span<const std::byte> pickle) {
  static const std::string storage(64, '\1');
  const auto bytes = [](const std::string& text) { return std::as_bytes(std::span(text)); };
  fer::detail::StoredZip zip;
  zip.add("model/data.pkl", pickle);
  for (const char* key : {"0", "1", "2", "3"}) zip.add(std::string("model/data/") + key, bytes(storage));
  std::string file;
  for (const auto& part : zip.finish()) file.append(reinterpret_cast<const char*>(part.data()), part.size());
  return file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fer;
  const bool pickle_alone = size > 0 && data[0] == 0;
  const std::string file =
      pickle_alone ? around_pickle(fuzz::bytes_of(data + 1, size - 1)) : fuzz::text_of(data, size);
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(file.data());
  fuzz::answer_or_error([&] { (void)read_pytorch(fuzz::bytes_of(bytes, file.size()), "fuzz.pth"); });
  const char* path = fuzz::file_of(bytes, file.size());
  fuzz::answer_or_error([&] { (void)read_state_file(path); });
  return 0;
}
