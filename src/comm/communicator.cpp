// What every communicator does with the collectives of its own.
#include "fer/tensor/communicator.h"

namespace fer {

std::int64_t Communicator::agree(std::int64_t mine, Reduction reduction) {
  Tensor value = Tensor::from<std::int64_t>({1}, {mine});
  all_reduce(value, reduction);
  return value.data<std::int64_t>()[0];
}

std::string Communicator::share(std::string mine, int root) {
  Tensor length = Tensor::from<std::int64_t>({1}, {static_cast<std::int64_t>(mine.size())});
  broadcast(length, root);
  mine.resize(static_cast<std::size_t>(length.data<std::int64_t>()[0]));
  Tensor bytes = Tensor::from<std::uint8_t>({length.data<std::int64_t>()[0]}, {mine.begin(), mine.end()});
  broadcast(bytes, root);
  const std::vector<std::uint8_t> shared = bytes.to_vector<std::uint8_t>();
  return {shared.begin(), shared.end()};
}

std::vector<std::string> Communicator::share_all(const std::string& mine) {
  std::vector<std::int64_t> lengths;
  const Tensor all = all_gather(
      Tensor::from<std::uint8_t>({static_cast<std::int64_t>(mine.size())}, {mine.begin(), mine.end()}),
      &lengths);
  const std::vector<std::uint8_t> text = all.to_vector<std::uint8_t>();
  std::vector<std::string> texts;
  for (auto at = text.begin(); const std::int64_t length : lengths) {
    texts.emplace_back(at, at + length);
    at += length;
  }
  return texts;
}

}  // namespace fer
