// The loader: the same batches with any number of threads and from any position, and nothing left over.
#include "fer/data/loader.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <numeric>
#include <set>
#include <thread>

#include "fer/tensor/backend.h"
#include "fer/tensor/random.h"
#include "tests/data/helpers.h"
#include "tests/data/numbered_dataset.h"

namespace fer::test {
namespace {

/// Everything on.
LoaderOptions rich_options(int threads) {
  LoaderOptions options = loader_options(5, threads);
  options.image_size = 20;
  options.shuffle = true;
  options.augment = AugmentOptions{};
  options.augment.rotation = 20;
  options.augment.shift = 0.1;
  options.augment.brightness = 0.3;
  return options;
}

/// The contents of a batch as one text, for comparison.
std::string fingerprint(const Batch& batch) {
  std::ostringstream out;
  out << batch.epoch << "/" << batch.number << " of " << batch.global_size << ":";
  for (std::int64_t i : batch.indices) out << " " << i;
  for (const ImageTransform& t : batch.transforms) {
    out << " [" << t.flip << " " << t.erase_top << " " << t.erase_left << " " << t.erase_height << " "
        << t.erase_width << "]";
  }
  const auto bytes = [&out](const Tensor& tensor) {
    if (!tensor.defined()) return;
    out << " " << fnv1a64(std::string_view(static_cast<const char*>(tensor.raw()), tensor.bytes()));
  };
  for (const Tensor* t : {&batch.images, &batch.labels, &batch.targets, &batch.landmarks, &batch.arousal})
    bytes(*t);
  return out.str();
}

std::vector<std::string> fingerprints(DataLoader& loader, std::int64_t epoch, std::int64_t from = 0) {
  std::vector<std::string> all;
  for (loader.start(epoch, from); auto batch = loader.next();) all.push_back(fingerprint(*batch));
  return all;
}

TEST_CASE("the same batches with 0, 1 and 4 threads") {
  for (bool cache : {false, true}) {
    std::vector<std::string> wanted;
    for (int threads : {0, 1, 4}) {
      LoaderOptions options = rich_options(threads);
      if (cache) options.cache = std::make_shared<SampleCache>();
      DataLoader loader(numbered(23), options);
      std::vector<std::string> found;
      for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
        for (std::string& text : fingerprints(loader, epoch)) found.push_back(std::move(text));
      }
      CHECK(found.size() == 15);
      if (threads == 0) wanted = found;
      CAPTURE(threads);
      CHECK(found == wanted);
    }
    // The epochs differ in order and augmentation.
    CHECK(std::set<std::string>(wanted.begin(), wanted.end()).size() == 15);
  }
}

TEST_CASE("it starts at any epoch and batch") {
  DataLoader whole(numbered(23), rich_options(0));
  std::vector<std::vector<std::string>> epochs;
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) epochs.push_back(fingerprints(whole, epoch));
  DataLoader loader(numbered(23), rich_options(2));
  // Forward, back, into the middle, to the very end; on one loader, whose workers have run ahead elsewhere.
  for (const auto& [epoch, batch] :
       std::vector<std::pair<int, int>>{{2, 3}, {0, 0}, {1, 4}, {1, 1}, {0, 5}, {2, 0}, {2, 0}}) {
    CAPTURE(epoch);
    CAPTURE(batch);
    const auto& all = epochs[static_cast<std::size_t>(epoch)];
    CHECK(fingerprints(loader, epoch, batch) == std::vector<std::string>(all.begin() + batch, all.end()));
    CHECK_FALSE(loader.next().has_value());  // and stays at the end
  }
  loader.start(1);
  loader.next();
  loader.start(1, 3);  // out of the middle of an epoch
  CHECK(fingerprint(*loader.next()) == epochs[1][3]);
}

TEST_CASE("going on to the next epoch uses what the workers have prepared") {
  const auto data = numbered(12);
  DataLoader loader(data, loader_options(4, 1));
  for (std::int64_t epoch = 0; epoch < 5; ++epoch) CHECK(fingerprints(loader, epoch).size() == 3);
  // 60 samples were asked for; the worker is at most `prefetch` batches ahead, and did nothing twice.
  CHECK(data->reads <= 60 + 4 * 4);
}

TEST_CASE("an error of a worker reaches the consumer at the batch where it happened") {
  for (int threads : {0, 1, 4}) {
    CAPTURE(threads);
    const auto data = numbered(20);
    data->broken = 13;
    DataLoader loader(data, loader_options(4, threads));
    loader.start(0);
    for (std::int64_t number = 0; number < 3; ++number) CHECK(loader.next()->number == number);
    CHECK(message_of<IoError>([&] { loader.next(); }) == "picture 13: cannot be read");
    CHECK(loader.next()->number == 4);  // the rest of the epoch is not lost
    CHECK_FALSE(loader.next().has_value());
    loader.start(1, 3);
    CHECK(message_of<IoError>([&] { loader.next(); }) == "picture 13: cannot be read");
  }
}

TEST_CASE("a loader ends cleanly in the middle of an epoch, with workers at work") {
  const auto data = numbered(400);
  data->delay = std::chrono::milliseconds(2);
  for (int consumed : {0, 1, 3}) {
    data->reads = 0;
    {
      DataLoader loader(data, loader_options(4, 4));
      loader.start(0);
      for (int i = 0; i < consumed; ++i) loader.next();
    }
    CHECK(data->within == 0);
    CHECK(data->reads <= 4 * (consumed + 4));  // no further ahead than `prefetch`
  }
  DataLoader never_started(data, loader_options(4, 2));
}

TEST_CASE("shuffled, an epoch is a permutation of its own") {
  LoaderOptions options = loader_options(8);
  CHECK(DataLoader(numbered(50), options).order(3)[17] == 17);
  options.shuffle = true;
  const DataLoader loader(numbered(50), options);
  std::vector<std::int64_t> numbers(50);
  std::iota(numbers.begin(), numbers.end(), 0);
  for (std::int64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<std::int64_t> order = loader.order(epoch);
    CHECK(order != numbers);
    CHECK(order != loader.order(epoch + 1));
    std::sort(order.begin(), order.end());
    CHECK(order == numbers);
  }
  options.seed = 2;
  CHECK(DataLoader(numbered(50), options).order(0) != loader.order(0));
  // Every sample comes to every place equally often: of 1000 epochs, 20 each; five deviations are 22.
  std::map<std::int64_t, int> first;
  for (std::int64_t epoch = 0; epoch < 1000; ++epoch) ++first[loader.order(epoch)[0]];
  for (std::int64_t i = 0; i < 50; ++i) CHECK(std::abs(first[i] - 20) < 22);
}

TEST_CASE("balanced, classes come equally often however many samples they have") {
  const auto data = numbered(200);
  data->labels.assign(200, 0);
  for (std::size_t i = 150; i < 196; ++i) data->labels[i] = 1;
  for (std::size_t i = 196; i < 200; ++i) data->labels[i] = 2;
  LoaderOptions options = loader_options(20);
  options.balanced = true;
  const DataLoader loader(data, options);
  CHECK(loader.samples() == 200);
  std::vector<int> counts(3, 0);
  std::vector<int> rare(200, 0);
  for (std::int64_t epoch = 0; epoch < 60; ++epoch) {
    for (std::int64_t i : loader.order(epoch)) {
      ++counts[static_cast<std::size_t>(data->label(i))];
      ++rare[static_cast<std::size_t>(i)];
    }
  }
  for (int count : counts) CHECK(std::abs(count - 4000) < 210);  // four deviations
  for (std::size_t i = 196; i < 200; ++i) CHECK(std::abs(rare[i] - 1000) < 130);
}

TEST_CASE("balanced, a sample that is drawn twice is augmented in two ways") {
  const auto data = numbered(8);
  data->labels = {0, 0, 0, 0, 0, 0, 0, 1};
  data->change_info().class_names = {"a", "b"};
  LoaderOptions options = loader_options(8);
  options.balanced = true;
  options.augment.erase = 1;
  options.augment.erase_area_min = options.augment.erase_area_max = 0.02;
  DataLoader loader(data, options);
  std::set<std::pair<int, int>> places;
  int drawn = 0;
  for (std::int64_t epoch = 0; epoch < 1; ++epoch) {
    loader.start(epoch);
    const Batch batch = *loader.next();
    for (std::size_t k = 0; k < batch.indices.size(); ++k) {
      if (batch.indices[k] != 7) continue;
      ++drawn;
      places.emplace(batch.transforms[k].erase_top, batch.transforms[k].erase_left);
    }
  }
  CHECK(drawn >= 2);
  CHECK(places.size() >= 2);
}

TEST_CASE("the ranks' shares cover each batch once, in order") {
  DataLoader whole(numbered(23), rich_options(0));
  for (int world : {2, 3, 5}) {
    CAPTURE(world);
    std::vector<std::unique_ptr<DataLoader>> ranks;
    for (int rank = 0; rank < world; ++rank) {
      LoaderOptions options = rich_options(rank % 2);
      options.rank = rank;
      options.world = world;
      ranks.push_back(std::make_unique<DataLoader>(numbered(23), options));
      ranks.back()->start(1);
      CHECK(ranks.back()->batches() == 5);
    }
    for (whole.start(1); auto wanted = whole.next();) {
      std::vector<std::int64_t> indices;
      std::vector<std::uint8_t> pixels;
      std::vector<float> points;
      std::size_t least = 100, most = 0;
      for (auto& loader : ranks) {
        const Batch share = *loader->next();
        CHECK(share.global_size == wanted->global_size);
        indices.insert(indices.end(), share.indices.begin(), share.indices.end());
        for (std::uint8_t p : share.images.to_vector<std::uint8_t>()) pixels.push_back(p);
        for (float p : share.landmarks.to_vector<float>()) points.push_back(p);
        least = std::min(least, share.indices.size());
        most = std::max(most, share.indices.size());
      }
      CHECK(indices == wanted->indices);
      CHECK(pixels == wanted->images.to_vector<std::uint8_t>());
      CHECK(points == wanted->landmarks.to_vector<float>());
      CHECK(most - least <= 1);
    }
  }
}

TEST_CASE("a batch holds what the samples hold") {
  const auto data = numbered(6, 2);
  data->change_info().soft_labels = true;
  LoaderOptions options = loader_options(4);
  options.image_size = 8;  // resized from 12
  options.channels = 3;    // grey to colour
  DataLoader loader(data, options);
  loader.start(0, 1);
  const Batch batch = *loader.next();
  CHECK(batch.epoch == 0);
  CHECK(batch.number == 1);
  CHECK(batch.global_size == 2);
  CHECK(batch.images.shape() == Shape{2, 8, 8, 3});
  const auto pixels = batch.images.to_vector<std::uint8_t>();
  CHECK(pixels[0] == 4);
  CHECK(pixels[2 * 8 * 8 * 3 - 1] == 5);
  CHECK(batch.labels.to_vector<std::int64_t>() == std::vector<std::int64_t>{0, 1});
  CHECK(batch.targets.to_vector<float>() == std::vector<float>{0.75f, 0, 0, 0.75f});
  CHECK(batch.landmarks.shape() == Shape{2, 136});
  const auto points = batch.landmarks.to_vector<float>();
  CHECK(points[0] == 4.0f / 6.0f);  // x before y
  CHECK(points[1] == 0.25f);
  CHECK(batch.arousal.to_vector<float>()[0] == 0.04f);
  CHECK(std::isnan(batch.arousal.to_vector<float>()[1]));

  data->change_info().soft_labels = data->change_info().has_landmarks = data->change_info().has_arousal =
      false;
  loader.start(0);
  const Batch plain = *loader.next();
  CHECK_FALSE(plain.targets.defined());
  CHECK_FALSE(plain.landmarks.defined());
  CHECK_FALSE(plain.arousal.defined());
}

TEST_CASE("a loader follows what a network expects of its input") {
  DatasetOptions faces;
  faces.validation_fraction = 0;
  faces.name = "faces";
  faces.train_identities = 1;
  faces.face_size = 40;
  const auto data = open_dataset(faces);
  InputSpec spec;
  spec.size = 24;
  spec.normalisation = {{0.5, 0.25, 0.75}, {1, 0.5, 0.125}};
  LoaderOptions options = loader_options(1);
  for (const InputColour colour : {InputColour::grey, InputColour::rgb}) {
    CAPTURE(name_of(colour));
    spec.colour = colour;
    options.follow(spec);
    DataLoader loader(data, options);
    loader.start(0);
    const Batch batch = *loader.next();
    CHECK(batch.normalisation == spec.normalisation);
    const Image small = resize(data->sample(0).image, 24, 24);
    const bool grey = colour == InputColour::grey;
    CHECK(batch.images.shape() == Shape{1, 24, 24, grey ? 1 : 3});
    CHECK(batch.images.to_vector<std::uint8_t>() == (grey ? to_grey(small) : small).pixels);
  }
}

TEST_CASE("landmarks of a batch are those of the augmented picture") {
  const auto data = numbered(4);
  LoaderOptions options = loader_options(4);
  options.augment.flip = 1;
  DataLoader loader(data, options);
  loader.start(0);
  const Batch batch = *loader.next();
  CHECK(batch.transforms[1].flip == 1);
  CHECK(batch.landmarks.to_vector<float>()[136] == doctest::Approx(0.75f));  // 1 - 1/4

  const auto without = numbered(4);
  without->pointless = 2;
  DataLoader failing(without, options);
  failing.start(0);
  CHECK(message_of<DataError>([&] { failing.next(); }) == "picture 2: has no landmarks");
}

TEST_CASE("the last batch: shorter, left out, or all there is") {
  LoaderOptions options = loader_options(8);
  DataLoader all(numbered(20), options);
  CHECK(all.batches() == 3);
  CHECK(all.samples() == 20);
  all.start(0, 2);
  CHECK(all.next()->images.dim(0) == 4);
  options.drop_last = true;
  DataLoader full(numbered(20), options);
  CHECK(full.batches() == 2);
  CHECK(full.samples() == 16);
  CHECK(fingerprints(full, 0).size() == 2);
  DataLoader small(numbered(5), options);  // drop_last would leave nothing
  CHECK(small.batches() == 1);
  CHECK(small.samples() == 5);
  small.start(0);
  CHECK(small.next()->images.dim(0) == 5);
}

TEST_CASE("cached pictures are read once") {
  for (int threads : {0, 3}) {
    const auto data = numbered(24);
    LoaderOptions options = loader_options(8, threads);
    options.cache = std::make_shared<SampleCache>();
    options.shuffle = true;
    DataLoader loader(data, options);
    // Workers may run into the next epoch before this one's last pictures are in; then two read the same.
    for (std::int64_t epoch = 0; epoch < 6; ++epoch) CHECK(fingerprints(loader, epoch).size() == 3);
    CHECK(data->reads >= 24);
    CHECK(data->reads <= (threads == 0 ? 24 : 48));
  }
}

TEST_CASE("loaders that share a cache read a sample once, but not in another size") {
  const auto data = numbered(24);
  LoaderOptions options = loader_options(8, 0);
  options.cache = std::make_shared<SampleCache>();
  DataLoader first(data, options), second(data, options);
  const std::vector<std::string> read = fingerprints(first, 0);
  CHECK(fingerprints(second, 0) == read);
  CHECK(data->reads == 24);
  options.image_size *= 2;
  DataLoader larger(data, options);
  CHECK(fingerprints(larger, 0) != read);
  CHECK(data->reads == 48);
}

TEST_CASE("time spent waiting for workers is reported") {
  const auto data = numbered(8);
  data->delay = std::chrono::milliseconds(5);
  DataLoader loader(data, loader_options(4, 1));
  CHECK(loader.seconds_waiting() == 0);
  loader.start(0);
  loader.next();
  CHECK(loader.seconds_waiting() > 0.01);  // four samples of 5 ms, less what was done before next()
  loader.reset_waiting();
  CHECK(loader.seconds_waiting() == 0);
}

TEST_CASE("loader: options out of range are refused") {
  const auto error = [](auto change) {
    LoaderOptions options = loader_options(4);
    change(options);
    return message_of<ConfigError>([&] { DataLoader loader(numbered(8), options); });
  };
  using O = LoaderOptions;
  CHECK(error([](O&) {}) == "(no error)");
  CHECK(error([](O& o) { o.batch_size = 0; }) == "loader: batch_size must be positive, got 0");
  CHECK(error([](O& o) { o.image_size = 5000; }) == "loader: image_size must be 1 to 4096, got 5000");
  CHECK(error([](O& o) { o.channels = 2; }) == "loader: channels must be 1 or 3, got 2");
  CHECK(error([](O& o) { o.threads = -1; }) == "loader: threads must not be negative, prefetch positive");
  CHECK(error([](O& o) { o.prefetch = 0; }) == "loader: threads must not be negative, prefetch positive");
  CHECK(error([](O& o) { o.rank = 2, o.world = 2; }) == "loader: rank 2 of 2 processes");
  CHECK(error([](O& o) { o.augment.flip = 2; }) == "augmentation: 'flip' must be between 0 and 1, got 2");
  CHECK(message_of<ConfigError>([] { DataLoader loader(numbered(0), loader_options(4)); }) ==
        "loader: the data set is empty");
  CHECK(message_of<ConfigError>([] { DataLoader loader(nullptr, loader_options(4)); }) ==
        "loader: the data set is empty");
  const auto unlabelled = numbered(3);
  unlabelled->labels = {0, -1, 1};
  LoaderOptions balanced = loader_options(2);
  balanced.balanced = true;
  CHECK(message_of<ConfigError>([&] { DataLoader loader(unlabelled, balanced); }) ==
        "loader: balanced sampling needs labels, 'picture 1' has none");
  DataLoader loader(numbered(8), loader_options(4));
  CHECK(message_of<ConfigError>([&] { loader.next(); }) == "loader: next() before start()");
  CHECK(message_of<ConfigError>([&] { loader.start(0, 3); }) == "loader: no batch 3 in epoch 0");
  CHECK(message_of<ConfigError>([&] { loader.start(-1); }) == "loader: no batch 0 in epoch -1");
}

}  // namespace
}  // namespace fer::test
