// 3. A small convolutional network finds the 68 landmarks of drawn faces.
//
// New here: a module (named parameters), a data set and its loader, an optimizer, and a test on people that
// the network has not seen. fer train begins in the same way, with the landmark backbone of the paper.
#include <exception>
#include <iostream>

#include "fer/fer.h"

namespace {

/// N x 32 x 32 x 3 -> N x 136. Each strided convolution halves the picture. The last map, 4 x 4 x 32, is
/// flattened to one row, because positions in the picture matter.
struct SmallNet : fer::Layer {
  fer::Sequential& body = register_module<fer::Sequential>("body");
  fer::Linear& head = register_module<fer::Linear>("head", 4 * 4 * 32, 136);

  SmallNet() {
    std::int64_t in = 3;
    for (const std::int64_t out : {8, 16, 32}) {
      body.append<fer::Conv2d>(in, out, 3, fer::Conv2dOptions{.stride = 2, .padding = 1});
      body.append<fer::BatchNorm>(out);
      body.append<fer::ReLU>();
      in = out;
    }
  }
  fer::Variable forward(const fer::Variable& x) override {
    const fer::Variable map = body(x);
    return head(fer::reshape(map, {map.dim(0), 4 * 4 * 32}));
  }
};

fer::DataLoader faces(fer::Split split) {
  return fer::DataLoader(fer::open_dataset({.name = "faces",
                                            .split = split,
                                            .validation_fraction = 0,
                                            .train_identities = 100,
                                            .test_identities = 20,
                                            .faces_per_identity = 7,
                                            .face_size = 32}),
                         {.batch_size = 35,
                          .image_size = 32,
                          .shuffle = split == fer::Split::train,
                          .cache = std::make_shared<fer::SampleCache>()});
}

/// Mean distance to the true points, divided by the distance of the outer eye corners.
double test_error(SmallNet& net, fer::DataLoader& loader) {
  const fer::NoGrad no_grad;
  net.eval();  // batch norm uses its running statistics
  double sum = 0;
  for (const fer::Batch& batch : loader.epoch(0)) {
    sum += fer::normalised_mean_error(net(batch.x).value(), batch.landmarks);
  }
  net.train();
  return sum / static_cast<double>(loader.batches());
}

}  // namespace

int main() try {
  fer::DataLoader train = faces(fer::Split::train), test = faces(fer::Split::test);
  fer::manual_seed(1);
  SmallNet net;
  std::cout << net.parameter_count() << " parameters, " << train.samples() << " pictures to train on, "
            << test.samples() << " of other persons to test on\n";
  const double before = test_error(net, test);
  std::cout << "untrained  test error " << before << std::endl;

  const fer::LandmarkLoss loss_of;
  fer::Adam adam(net.parameters(), {.lr = 3e-3});
  double after = before;
  for (int epoch = 0; epoch < 6; ++epoch) {
    double loss_sum = 0;
    for (const fer::Batch& batch : train.epoch(epoch)) {
      const fer::Variable loss = loss_of(net(batch.x), batch.landmarks);
      adam.zero_grad();
      loss.backward();
      adam.step();
      loss_sum += loss.item();
    }
    after = test_error(net, test);
    std::cout << "epoch " << epoch + 1 << "  loss " << loss_sum / static_cast<double>(train.batches())
              << "  test error " << after << std::endl;
  }
  return after < before / 4 ? 0 : 1;
} catch (const std::exception& error) {
  std::cerr << error.what() << "\n";
  return 1;
}
