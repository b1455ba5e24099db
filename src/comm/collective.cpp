#include "comm/collective.h"

#include <algorithm>
#include <cstring>

#include "comm/operands.h"

namespace fer::comm {
namespace {

constexpr std::size_t sliced_from = 32 << 10;  // bytes; below, one step costs less than fewer bytes save
constexpr int collectives_with_own_tags = 4096, tags_of_each = 4;  // tag 0 is for farewells

std::string describe_data(const CollectiveHeader& h) {
  constexpr std::string_view names[]{"all_reduce", "all_gather", "broadcast", "barrier", "start"};
  const std::string_view name = names[static_cast<int>(h.kind)];
  switch (h.kind) {
    case CollectiveKind::all_reduce:
      return concat(name, " ", name_of(static_cast<Reduction>(h.detail)), " of ", h.rows, " ", h.dtype);
    case CollectiveKind::all_gather:
      return concat(name, " of rows of ", h.row_size, " ", h.dtype);
    case CollectiveKind::broadcast:
      return concat(name, " of ", h.rows, " ", h.dtype, " from rank ", h.root);
    default:
      return std::string(name);
  }
}

std::string describe_header(const CollectiveHeader& h) {
  return describe_data(h) + (h.on_device ? " on the device" : "");
}

}  // namespace

Collective::Collective(Transport& transport, std::int64_t number, const CollectiveHeader& header, Tensor x)
    : transport_(transport),
      rank_(transport.rank()),
      size_(transport.size()),
      tag_(1 + static_cast<int>(number % collectives_with_own_tags) * tags_of_each),
      header_(header),
      x_(std::move(x)),
      headers_(static_cast<std::size_t>(size_)) {
  if (x_.defined())  // an all_gather only reads it, and it may be read-only
    memory_ = header_.kind == CollectiveKind::all_gather
                  ? const_cast<std::byte*>(static_cast<const std::byte*>(x_.raw()))
                  : static_cast<std::byte*>(x_.mutable_raw());
}

bool Collective::advance(const std::function<std::string(int rank)>& name_of_rank) {
  while (all_done()) {
    switch (step_) {
      case Step::start:
        begin_step(Step::headers);
        for (int peer = 0; peer < size_; ++peer) {
          if (peer == rank_) continue;
          post(true, &headers_[static_cast<std::size_t>(peer)], sizeof header_, peer);
          post(false, &header_, sizeof header_, peer);
        }
        break;
      case Step::headers:
        compare_headers(name_of_rank);
        begin_step(Step::data);
        exchange_data();
        break;
      case Step::data:
        if (header_.kind != CollectiveKind::all_reduce || header_.on_device) return true;
        add_slices();
        begin_step(Step::sums);
        if (is_sliced()) spread_sums();
        break;
      case Step::sums:
        return true;
    }
  }
  return false;
}

bool Collective::has_arrived(int rank) const {
  if (step_ == Step::start) return false;
  if (step_ != Step::headers) return true;
  return std::all_of(messages_.begin(), messages_.end(),
                     [&](const Message& m) { return m.peer != rank || !m.incoming || m.done; });
}

std::string Collective::describe() const {
  return describe_header(header_);
}

void Collective::post(bool incoming, void* data, std::size_t bytes, int peer) {
  const int tag = tag_ + static_cast<int>(step_) - 1;
  for (std::size_t start = 0; start < bytes; start += longest_message) {
    std::byte* part = static_cast<std::byte*>(data) + start;
    const std::size_t length = std::min(bytes - start, longest_message);
    messages_.push_back(
        {incoming ? transport_.receive(part, length, peer, tag) : transport_.send(part, length, peer, tag),
         peer, incoming, false});
  }
}

bool Collective::all_done() {
  bool done = true;
  for (Message& m : messages_) {
    if (!m.done) m.done = transport_.test(m.request);
    done = done && m.done;
  }
  return done;
}

void Collective::begin_step(Step step) {
  step_ = step;
  messages_.clear();
}

void Collective::compare_headers(const std::function<std::string(int rank)>& name_of_rank) const {
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    const CollectiveHeader& theirs = headers_[static_cast<std::size_t>(peer)];
    const bool same_rows = theirs.rows == header_.rows || header_.kind == CollectiveKind::all_gather;
    require<CommunicationError>(theirs.kind == header_.kind && theirs.dtype == header_.dtype &&
                                    theirs.detail == header_.detail && theirs.root == header_.root &&
                                    theirs.on_device == header_.on_device && same_rows &&
                                    theirs.row_size == header_.row_size,
                                name_of_rank(peer), " calls ", describe_header(theirs), ", ",
                                name_of_rank(rank_), " ", describe_header(header_));
  }
}

void Collective::exchange_data() {
  if (header_.kind == CollectiveKind::all_gather) count_rows();
  if (header_.on_device) return;
  switch (header_.kind) {
    case CollectiveKind::all_reduce:
      return exchange_slices();
    case CollectiveKind::all_gather:
      return gather_rows();
    case CollectiveKind::broadcast:
      if (rank_ != header_.root) return post(true, memory_, x_.bytes(), header_.root);
      for (int peer = 0; peer < size_; ++peer)
        if (peer != rank_) post(false, memory_, x_.bytes(), peer);
      return;
    case CollectiveKind::barrier:
    case CollectiveKind::start:
      return;
  }
}

bool Collective::is_sliced() const {
  return x_.bytes() >= sliced_from;
}

Collective::Slice Collective::slice_of(int rank) const {
  const auto all = static_cast<std::size_t>(header_.rows);
  if (!is_sliced()) return {0, all};
  const auto at = [&](int r) { return all * static_cast<std::size_t>(r) / static_cast<std::size_t>(size_); };
  return {at(rank), at(rank + 1) - at(rank)};
}

void Collective::exchange_slices() {
  const std::size_t bytes = slice_of(rank_).count * size_of(header_.dtype);
  received_.resize(static_cast<std::size_t>(size_));
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    auto& values = received_[static_cast<std::size_t>(peer)];
    values.resize(bytes);
    post(true, values.data(), bytes, peer);
    const Slice theirs = slice_of(peer);
    post(false, element(theirs.start), theirs.count * size_of(header_.dtype), peer);
  }
}

void Collective::add_slices() {
  const Slice slice = slice_of(rank_);
  std::byte* mine = element(slice.start);
  std::vector<const void*> values;
  for (int peer = 0; peer < size_; ++peer)
    values.push_back(peer == rank_ ? mine : received_[static_cast<std::size_t>(peer)].data());
  reduce(static_cast<Reduction>(header_.detail), header_.dtype, slice.count, values, mine);
  received_.clear();
}

void Collective::spread_sums() {
  const Slice mine = slice_of(rank_);
  for (int peer = 0; peer < size_; ++peer) {
    if (peer == rank_) continue;
    const Slice theirs = slice_of(peer);
    post(true, element(theirs.start), theirs.count * size_of(header_.dtype), peer);
    post(false, element(mine.start), mine.count * size_of(header_.dtype), peer);
  }
}

void Collective::count_rows() {
  headers_[static_cast<std::size_t>(rank_)] = header_;
  for (const CollectiveHeader& h : headers_) rows.push_back(h.rows);
}

void Collective::gather_rows() {
  gathered = empty_rows(x_, rows);
  auto* to = static_cast<std::byte*>(gathered.mutable_raw());
  for (int peer = 0; peer < size_; ++peer) {
    const std::size_t bytes =
        static_cast<std::size_t>(rows[static_cast<std::size_t>(peer)] * header_.row_size) *
        size_of(header_.dtype);
    if (peer == rank_) {
      if (bytes > 0) std::memcpy(to, memory_, bytes);
    } else {
      post(true, to, bytes, peer);
      post(false, memory_, x_.bytes(), peer);
    }
    to += bytes;
  }
}

}  // namespace fer::comm
