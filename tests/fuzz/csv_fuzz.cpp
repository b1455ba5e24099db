// Tables and lists of the data sets: each input is read as every kind of text.
#include <filesystem>

#include "data/class_names.h"
#include "data/sets/annotations.h"
#include "data/sets/csv.h"
#include "fer/data/dataset.h"
#include "tests/fuzz/fuzz.h"

namespace {

namespace fs = std::filesystem;

/// A folder whose csv files have the input as contents.
const fs::path& data_set(const char* file) {
  static const fs::path folder = [file] {
    const fs::path made = fs::temp_directory_path() / fer::concat("fer_fuzz_csv_", ::getpid());
    fs::create_directories(made);
    std::atexit([] { fs::remove_all(folder); });
    for (const char* name : {"fer2013.csv", "fer2013new.csv"}) fs::create_symlink(file, made / name);
    return made;
  }();
  return folder;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fer;
  const char* path = fuzz::file_of(data, size);
  fuzz::answer_or_error([&] {
    const detail::CsvTable table(path);
    for (std::size_t row = 0; row < table.size(); ++row) {
      for (const std::string_view field : table.fields(row)) {
        (void)detail::csv_text(field);
        (void)table.file().number(field);
      }
    }
  });
  const detail::LabelRange range{0, 7, {"neutral", "happy"}};
  fuzz::answer_or_error([&] { (void)detail::read_annotations(path, range); });
  fuzz::answer_or_error([&] { (void)detail::read_csv_annotations(path, range); });
  fuzz::answer_or_error([&] { (void)detail::ClassNames(path); });
  fuzz::answer_or_error([&] { (void)detail::ClassNames(fuzz::text_of(data, size)); });
  for (const char* name : {"fer2013", "ferplus"}) {
    fuzz::answer_or_error([&] {
      DatasetOptions options;
      options.validation_fraction = 0;
      options.name = name;
      options.folder = data_set(path);
      const auto dataset = open_dataset(options);
      if (dataset->size() > 0) (void)dataset->sample(dataset->size() - 1);
    });
  }
  return 0;
}
