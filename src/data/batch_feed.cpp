#include "data/batch_feed.h"

#include <memory>
#include <utility>

#include "fer/tensor/backend.h"

namespace fer {

BatchFeed::BatchFeed(DataLoader& loader, Device device)
    : loader_(loader), ahead_(backend(device).runtime() != nullptr), uploader_(device) {}

void BatchFeed::start(std::int64_t epoch, std::int64_t batch) {
  sent_.reset();
  loader_.start(epoch, batch);
  if (ahead_) send();
}

void BatchFeed::send() {
  sent_ = loader_.next();
  if (sent_) ticket_ = uploader_.start({sent_->images});
}

std::optional<Batch> BatchFeed::next() {
  if (!ahead_) return loader_.next();
  if (!sent_) return std::nullopt;
  Batch batch = *std::exchange(sent_, std::nullopt);
  batch.images = uploader_.finish(ticket_)[0];
  send();
  return batch;
}

Tensor network_input(const Batch& batch, Device device) {
  float mean[3], deviation[3];
  for (std::size_t c = 0; c < 3; ++c) {
    mean[c] = static_cast<float>(batch.normalisation.mean[c]);
    deviation[c] = static_cast<float>(batch.normalisation.std[c]);
  }
  const Tensor images = batch.images.to(device);
  Tensor x = Tensor::empty({images.dim(0), images.dim(1), images.dim(2), 3}, DType::float32, device);
  backend(device).preprocess_images(images, batch.transforms, mean, deviation, x);
  return x;
}

EpochBatches::Iterator EpochBatches::begin() const {
  Iterator first;
  first.feed_ = std::make_shared<BatchFeed>(*loader_, device_);
  first.device_ = device_;
  first.feed_->start(epoch_, 0);
  return ++first;
}

EpochBatches::Iterator& EpochBatches::Iterator::operator++() {
  batch_ = feed_->next();
  if (!batch_) return *this;
  batch_->x = network_input(*batch_, device_);
  for (Tensor* part : {&batch_->labels, &batch_->targets, &batch_->landmarks}) {
    if (part->defined()) *part = part->to(device_);
  }
  return *this;
}

}  // namespace fer
