// 3. A small convolutional network learns the expressions of drawn faces.
//
// New here: a module (parameters with names), a data set and its loader, an optimizer, and a test on persons
// that the network has not seen. It runs for seconds; fer train does the same with the network of the paper.
#include <algorithm>
#include <iostream>

#include "fer/data/loader.h"
#include "fer/layers/layers.h"
#include "fer/training/loop.h"
#include "fer/training/metrics.h"
#include "fer/training/optimizer.h"

namespace {

/// N x 48 x 48 x 3 -> N x 7. A strided convolution halves the picture; the last map, 6 x 6 x 64, is read as
/// one row, because it matters where in the face something is.
struct SmallNet : fer::Layer {
  fer::Sequential& body = add<fer::Sequential>("body");
  fer::Linear& head = add<fer::Linear>("head", 6 * 6 * 64, 7);

  SmallNet() {
    std::int64_t in = 3;
    for (const std::int64_t out : {16, 32, 64}) {
      body.append<fer::Conv2d>(in, out, fer::Conv2dConfig{.kernel = 3, .stride = 2, .padding = 1});
      body.append<fer::BatchNorm>(out);
      body.append<fer::ReLU>();
      in = out;
    }
  }
  fer::Variable forward(const fer::Variable& x) override {
    const fer::Variable map = body(x);
    return head(fer::reshape(map, {map.dim(0), 6 * 6 * 64}));
  }
};

fer::DataLoader faces(fer::Split split) {
  fer::DatasetOptions data;
  data.name = "faces";
  data.split = split;
  data.train_identities = 60;
  data.test_identities = 20;
  data.face_size = 48;
  fer::LoaderOptions options;
  options.batch_size = 42;
  options.image_size = 48;
  options.shuffle = split == fer::Split::train;
  options.cache = true;
  return fer::DataLoader(fer::open_dataset(data), options);
}

double test_accuracy(SmallNet& net, fer::DataLoader& loader) {
  const fer::NoGrad no_grad;
  net.eval();  // batch norm uses its running statistics
  fer::ConfusionMatrix confusion(loader.dataset().info().class_names);
  for (loader.start(0); auto batch = loader.next();) {
    const auto scores =
        net(fer::Variable(fer::network_input(*batch, fer::Device::cpu))).value().to_vector<float>();
    const auto labels = batch->labels.to_vector<std::int64_t>();
    for (std::size_t i = 0; i < labels.size(); ++i) {
      const float* row = scores.data() + 7 * i;
      confusion.add(labels[i], std::max_element(row, row + 7) - row);
    }
  }
  net.train();
  return confusion.accuracy();
}

}  // namespace

int main() {
  fer::DataLoader train = faces(fer::Split::train), test = faces(fer::Split::test);
  SmallNet net;
  net.initialise(/*seed=*/1);
  std::cout << net.parameter_count() << " parameters, " << train.samples() << " pictures to train on, "
            << test.samples() << " of other persons to test on\n";

  fer::Adam adam(net.named_parameters());
  double accuracy = 0;
  for (int epoch = 0; epoch < 5; ++epoch) {
    double loss_sum = 0;
    for (train.start(epoch); auto batch = train.next();) {
      const fer::Variable scores = net(fer::Variable(fer::network_input(*batch, fer::Device::cpu)));
      const fer::Variable loss = fer::cross_entropy(scores, batch->labels);
      adam.zero_grad();
      loss.backward();
      adam.step(/*lr=*/2e-3);
      loss_sum += loss.item();
    }
    accuracy = test_accuracy(net, test);
    std::cout << "epoch " << epoch + 1 << "  loss " << loss_sum / static_cast<double>(train.batches())
              << "  test accuracy " << accuracy << "\n";
  }
  // Guessing gives 1/7.
  return accuracy > 2.0 / 7 ? 0 : 1;
}
