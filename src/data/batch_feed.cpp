#include "training/batch_feed.h"

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

}  // namespace fer
