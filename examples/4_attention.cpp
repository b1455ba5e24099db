// 4. A look inside one attention block.
//
// Attention is a look-up: a query says what is wanted, keys say what is where, and the answer is a mean of
// the values, weighted by how well their keys match the query. Here, six places each hold a letter; a query
// names one of the places, and the block learns to answer with the letter there. Queries come from one stream
// of tokens, keys and values from another. This is the cross attention of the paper (Eqs. 3-5), in which
// landmarks ask and the image answers.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <exception>
#include <iostream>
#include <vector>

#include "fer/autograd/ops.h"
#include "fer/models/dual_attention.h"
#include "fer/training/optimizer.h"

namespace {

constexpr std::int64_t places = 6, letters = 5, width = 24, samples = 64;

/// The paper's block, and a linear layer that reads a letter from the block's output row.
struct LookUp : fer::Module {
  fer::CrossAttentionBlock& block = register_module<fer::CrossAttentionBlock>(
      "block", fer::DualAttentionConfig{.dim = width, .heads = 2, .mlp_ratio = 2});
  fer::Linear& head = register_module<fer::Linear>("head", width, letters);

  /// tokens N x (1 + places) x width, query N x 1 x width -> scores N x letters. `weights` receives the
  /// attention of each head, N x 2 x 1 x (1 + places).
  fer::Variable operator()(const fer::Variable& tokens, const fer::Variable& query, fer::Tensor* weights) {
    const fer::Variable row = block(tokens, query, weights);
    return head(fer::reshape(row, {row.dim(0), width}));
  }
};

struct Task {
  fer::Tensor tokens, query;
  fer::Tensor answers;                // N, the letter at the place in the query
  std::vector<std::int64_t> asked;    // N, the place in the query
  std::vector<std::string> contents;  // N, the letters in the order of the places
};

/// Token 0 is the class token, which belongs to no place and is zero. The token of a place has a 1 in the
/// channel of the place and a 1 in the channel of its letter. A query has only the former.
Task draw(std::uint64_t number) {
  fer::Random random({/*seed=*/1, fer::fnv1a64("look-up"), number});
  std::vector<float> tokens(samples * (1 + places) * width), query(samples * width);
  std::vector<std::int64_t> answers;
  Task task;
  for (std::int64_t n = 0; n < samples; ++n) {
    const auto asked = static_cast<std::int64_t>(random.below(places));
    task.asked.push_back(asked);
    task.contents.emplace_back();
    for (std::int64_t p = 0; p < places; ++p) {
      const auto letter = static_cast<std::int64_t>(random.below(letters));
      const std::int64_t row = (n * (1 + places) + 1 + p) * width;
      tokens[static_cast<std::size_t>(row + p)] = 1;
      tokens[static_cast<std::size_t>(row + places + letter)] = 1;
      task.contents.back() += static_cast<char>('A' + letter);
      if (p == asked) answers.push_back(letter);
    }
    query[static_cast<std::size_t>(n * width + asked)] = 1;
  }
  task.tokens = fer::Tensor::from<float>({samples, 1 + places, width}, tokens);
  task.query = fer::Tensor::from<float>({samples, 1, width}, query);
  task.answers = fer::Tensor::from<std::int64_t>({samples}, answers);
  return task;
}

/// The share of samples in which the place in the query gets the most attention, summed over the heads.
double looked_at(const fer::Tensor& weights, const Task& task) {
  const auto w = weights.to_vector<float>();
  double right = 0;
  for (std::size_t n = 0; n < samples; ++n) {
    const float* heads = &w[n * 2 * (1 + places)];
    std::size_t most = 0;
    const auto both = [&](std::size_t token) { return heads[token] + heads[1 + places + token]; };
    for (std::size_t token = 1; token <= places; ++token) {
      if (both(token) > both(most)) most = token;
    }
    right += most == 1 + static_cast<std::size_t>(task.asked[n]) ? 1 : 0;
  }
  return right / samples;
}

}  // namespace

int main() try {
  fer::manual_seed(1);
  LookUp net;
  std::cout << net.block.describe() << ", " << net.block.parameter_count() << " parameters\n\n";

  // The loss only asks for the right letter; nothing tells the block where to look.
  fer::Adam adam(net.parameters(), {.lr = 5e-3});
  for (std::uint64_t step = 0; step <= 300; ++step) {
    const Task task = draw(step);
    fer::Tensor weights;
    const fer::Variable loss = fer::cross_entropy(net(task.tokens, task.query, &weights), task.answers);
    if (step % 100 == 0) {
      std::printf("step %3d  loss %.3f  looks most at the place asked for: %.0f %%\n", static_cast<int>(step),
                  loss.item(), 100 * looked_at(weights, task));
    }
    adam.zero_grad();
    loss.backward();
    adam.step();
  }

  // New samples, and the attention of the two heads. Each row sums to 1.
  const fer::NoGrad no_grad;
  const Task task = draw(1000);
  fer::Tensor weights;
  const fer::Variable scores = net(task.tokens, task.query, &weights);
  const auto w = weights.to_vector<float>();
  std::printf("\nhead  class token  place 0      1      2      3      4      5\n");
  for (std::size_t n = 0; n < 2; ++n) {
    std::printf("places hold %s, asked for place %d:\n", task.contents[n].c_str(),
                static_cast<int>(task.asked[n]));
    for (std::size_t head = 0; head < 2; ++head) {
      const float* row = &w[(n * 2 + head) * (1 + places)];
      std::printf("   %d        %6.2f   %6.2f %6.2f %6.2f %6.2f %6.2f %6.2f\n", static_cast<int>(head),
                  row[0], row[1], row[2], row[3], row[4], row[5], row[6]);
    }
  }

  // Eq. 4 by hand, for one sample and one head: softmax(q k^T / sqrt(d)) with d channels per head. Its rows
  // are the weights that the block returned.
  const fer::StateDict state = net.state_dict();
  constexpr std::int64_t d = width / 2;
  const fer::Variable q = fer::linear(fer::slice(task.query, 0, 0, 1), state.at("block.q_lm.weight"));
  const fer::Variable k = fer::linear(fer::slice(task.tokens, 0, 0, 1), state.at("block.k_fusion.weight"));
  const fer::Variable by_hand =
      fer::softmax(1 / std::sqrt(static_cast<double>(d)) *
                   fer::matmul(fer::slice(q, 2, 0, d), fer::transpose(fer::slice(k, 2, 0, d))));
  float difference = 0;
  for (std::size_t i = 0; i < 1 + places; ++i)
    difference = std::max(difference, std::abs(by_hand.value().to_vector<float>()[i] - w[i]));
  std::printf("\nlargest difference from Eq. 4 by hand: %.1e\n", difference);

  const double share = looked_at(weights, task);
  const double loss = fer::cross_entropy(scores, task.answers).item();
  std::printf("on new samples: loss %.3f, looks most at the place asked for: %.0f %%\n", loss, 100 * share);
  return loss < 0.1 && share > 0.9 && difference < 1e-5f ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
