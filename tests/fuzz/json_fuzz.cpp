// JSON: each input is read as every kind of file that fer reads.
#include "fer/training/config.h"
#include "fer/training/evaluate.h"
#include "formats/json_text.h"
#include "tests/fuzz/fuzz.h"
#include "training/metrics_log.h"

namespace {

void read_as_configuration(const std::string& text) {
  using namespace fer;
  RunConfig config;
  apply_json(config, text, "fuzz.json");
  check(config);
  validate(config.model);
  (void)to_json(config);
  const ParameterLimit limit(1'000'000, "fuzz.json");
  (void)make_network(config.model);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace fer;
  const std::string text = fuzz::text_of(data, size);
  fuzz::answer_or_error([&] { (void)excerpt_of(parse_json(text, "fuzz.json")); });
  fuzz::answer_or_error([&] { read_as_configuration(text); });
  fuzz::answer_or_error([&] { (void)evaluation_from_json(text, "fuzz.json"); });
  fuzz::answer_or_error([&] { (void)figures_from_json(text, "fuzz.json"); });
  const char* path = fuzz::file_of(data, size);
  fuzz::answer_or_error([&] {
    MetricsLog log(path);
    (void)log.last_epoch_figures("");
  });
  return 0;
}
