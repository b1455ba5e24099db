// Looping over the batches of an epoch.
#include "fer/tensor/backend.h"
#include "tests/data/helpers.h"
#include "tests/data/numbered_dataset.h"

namespace fer::test {
namespace {

TEST_CASE("an epoch is a loop over batches that are ready for the network") {
  const auto dataset = numbered(10);
  LoaderOptions options = loader_options(4);
  options.shuffle = true;
  options.augment.flip = 0.5;
  DataLoader loader(dataset, options), reference(dataset, options);
  for (const std::int64_t epoch : {0, 3}) {
    reference.start(epoch);
    int count = 0;
    for (const Batch& batch : loader.epoch(epoch)) {
      const Batch expected = *reference.next();
      CHECK(batch.epoch == epoch);
      CHECK(batch.number == count++);
      CHECK(batch.indices == expected.indices);
      CHECK(batch.labels.to_vector<std::int64_t>() == expected.labels.to_vector<std::int64_t>());
      CHECK(batch.x.shape() == Shape{expected.images.dim(0), 12, 12, 3});
      CHECK(batch.x.to_vector<float>() == network_input(expected, Device::cpu).to_vector<float>());
    }
    CHECK(count == 3);
  }
  // If a loop is left in the middle, the next one starts from the beginning.
  for (const Batch& batch : loader.epoch(1)) {
    if (batch.number == 1) break;
  }
  std::int64_t samples = 0;
  for (const Batch& batch : loader.epoch(1)) samples += batch.x.dim(0);
  CHECK(samples == 10);
}

TEST_CASE("an epoch's batches are on the device that was asked for") {
  std::string reason;
  if (!is_available(Device::simt, &reason)) {
    MESSAGE("skipped: device simt: ", reason);
    return;
  }
  DataLoader loader(numbered(5), loader_options(2));
  std::vector<float> first_pixels;
  for (const Batch& batch : loader.epoch(0, Device::simt)) {
    CHECK(batch.x.device() == Device::simt);
    CHECK(batch.labels.device() == Device::simt);
    CHECK(batch.landmarks.device() == Device::simt);
    first_pixels.push_back(batch.x.to_vector<float>()[0]);
  }
  CHECK(first_pixels.size() == 3);
  CHECK(first_pixels[1] != first_pixels[0]);
}

}  // namespace
}  // namespace fer::test
