// The data set `faces`, drawn on demand. Persons 0 .. train_identities - 1 are for training (the validation
// split takes whole persons), persons from 2^32 on for testing.
#include "data/sets/dataset_parts.h"
#include "fer/error.h"
#include "fer/tensor/random.h"

namespace fer::detail {
namespace {

constexpr std::int64_t first_test_person = std::int64_t{1} << 32;

class FacesDataset : public Dataset {
 public:
  explicit FacesDataset(const DatasetOptions& options) : options_(options) {
    require<ConfigError>(
        options.train_identities > 0 && options.test_identities > 0 && options.faces_per_identity > 0,
        "faces: numbers of persons and of pictures must be positive");
    info_.name = "faces";
    info_.split = options.split;
    info_.labels = "as drawn";
    info_.class_names = expression_names();
    info_.neutral = static_cast<int>(Expression::neutral);
    info_.has_landmarks = info_.has_arousal = true;
    const bool training = options.split == Split::train || options.split == Split::validation;
    if (training) {
      // All persons get the same "class", so that a fraction of all persons is held out.
      const std::vector<std::int64_t> one_class(static_cast<std::size_t>(options.train_identities), 0);
      persons_ = part_of_training(one_class, options.split, options.validation_fraction, options.seed);
    } else {
      for (std::int64_t i = 0; i < options.test_identities; ++i) persons_.push_back(first_test_person + i);
    }
    std::vector<std::int64_t> labels;
    for (std::int64_t i = 0; i < size(); ++i) {
      labels.push_back(static_cast<std::int64_t>(parameters(i).expression));
    }
    count_classes(info_, labels);
    labels_ = std::move(labels);
  }

  std::int64_t size() const override {
    return static_cast<std::int64_t>(persons_.size()) * options_.faces_per_identity;
  }
  std::int64_t label(std::int64_t i) const override { return labels_.at(static_cast<std::size_t>(i)); }
  std::string name(std::int64_t i) const override {
    const std::int64_t number = person(i);
    return concat(number < first_test_person ? "person " : "test person ", number % first_test_person,
                  ", picture ", i % options_.faces_per_identity);
  }
  Sample sample(std::int64_t i) const override {
    const FaceParameters p = parameters(i);
    Face face = draw_face(p, options_.face_size);
    Sample sample;
    sample.image = std::move(face.image);
    sample.label = static_cast<std::int64_t>(p.expression);
    sample.arousal = p.arousal;
    sample.landmarks = face.landmarks;
    sample.name = name(i);
    return sample;
  }

 private:
  std::int64_t person(std::int64_t i) const {
    return persons_.at(static_cast<std::size_t>(i / options_.faces_per_identity));
  }
  FaceParameters parameters(std::int64_t i) const {
    return sample_face(options_.seed, static_cast<std::uint64_t>(person(i)),
                       static_cast<std::uint64_t>(i % options_.faces_per_identity));
  }

  DatasetOptions options_;
  std::vector<std::int64_t> persons_, labels_;
};

}  // namespace

std::shared_ptr<const Dataset> open_faces(const DatasetOptions& options) {
  return std::make_shared<FacesDataset>(options);
}

}  // namespace fer::detail
