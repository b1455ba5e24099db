// Converts a detector's box to the crop of a data set.
#include <algorithm>
#include <cmath>

#include "fer/data/face_detector.h"

namespace fer {

double face_share(std::string_view dataset) {
  return dataset == "faces" ? 0.64 : 0.83;
}

Box face_crop(const Box& face, double share) {
  constexpr double rise = 0.07;  // data sets centre on the bridge of the nose, the detector on its tip
  const double side = face.width / share;
  const double x = face.x + face.width / 2.0, y = face.y + face.height / 2.0 - rise * face.height;
  const int rounded = std::max(1, static_cast<int>(std::lround(side)));
  return {static_cast<int>(std::lround(x - side / 2)), static_cast<int>(std::lround(y - side / 2)), rounded,
          rounded};
}

Image crop(const Image& image, const Box& box) {
  return crop(image, box.y, box.x, box.height, box.width);
}

}  // namespace fer
