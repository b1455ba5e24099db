// Photographs that tests draw: several drawn faces on a background.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "fer/data/face_detector.h"
#include "fer/data/faces.h"
#include "fer/data/image.h"

namespace fer::test {

/// A smooth background with soft stripes and no face.
inline Image ground(int height, int width) {
  Image image(height, width, 3);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double wave = 20 * std::sin(x * 0.031) + 14 * std::sin(y * 0.043 + x * 0.01);
      image.at(y, x, 0) = static_cast<std::uint8_t>(120 + wave);
      image.at(y, x, 1) = static_cast<std::uint8_t>(130 + wave);
      image.at(y, x, 2) = static_cast<std::uint8_t>(150 - wave);
    }
  }
  return image;
}

inline void paste(Image& image, const Image& part, int y, int x) {
  for (int row = 0; row < part.height; ++row)
    std::copy_n(part.row(row), part.width * 3, image.row(y + row) + 3 * x);
}

/// 640 x 480 with three people, from left to right; `squares` receives the squares of their pictures.
inline Image group_portrait(std::vector<Box>* squares = nullptr) {
  Image image = ground(480, 640);
  struct Place {
    std::uint64_t identity, index;
    int x, y, side;
  };
  for (const Place& p : {Place{3, 3, 20, 40, 180}, Place{5, 6, 230, 210, 220}, Place{9, 3, 470, 60, 150}}) {
    FaceParameters face = sample_face(1, p.identity, p.index);
    face.occlusion = {};
    face.pose = {};  // frontal
    paste(image, draw_face(face, p.side).image, p.y, p.x);
    if (squares) squares->push_back({p.x, p.y, p.side, p.side});
  }
  return image;
}

}  // namespace fer::test
