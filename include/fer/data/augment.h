// Augmentation of training pictures. The augmentation of a sample depends only on (seed, epoch, sample), so
// it is the same with any number of threads, on every device and after a resume.
#pragma once

#include <cstdint>

#include "fer/data/faces.h"
#include "fer/data/image.h"
#include "fer/tensor/backend.h"

namespace fer {

/// The paper's recipe, and extras that are off by default. Values are drawn uniformly from their ranges.
struct AugmentOptions {
  double flip = 0.5;                                      ///< probability
  double erase = 0.5;                                     ///< probability
  double erase_area_min = 0.02, erase_area_max = 0.1;     ///< fraction of the picture
  double erase_aspect_min = 0.3, erase_aspect_max = 3.3;  ///< height over width, log-uniform

  double rotation = 0;    ///< degrees, +-
  double scale = 0;       ///< 0.1: zoom by 0.9 to 1.1
  double shift = 0;       ///< fraction of the side, +-, in x and y
  double crop_min = 1;    ///< random resized crop of crop_min to 1 of the area, aspect 3/4 to 4/3; 1: off
  double brightness = 0;  ///< 0.2: times 0.8 to 1.2
  double contrast = 0;    ///< 0.2: times 0.8 to 1.2 around the picture's mean

  /// Everything off, as for test pictures.
  static AugmentOptions none();
  /// ConfigError, naming the first value that is out of range.
  void check() const;
};

/// The augmentation of one picture: a warp (output to input), brightness and contrast, then flip and erasing.
struct Augmentation {
  ImageTransform transform;  ///< done by Backend::preprocess_images
  bool warps = false;
  /// Input position of output position (x, y), both as fractions of the side:
  /// (m[0] x + m[1] y + m[2], m[3] x + m[4] y + m[5]).
  float warp[6] = {1, 0, 0, 0, 1, 0};
  float brightness = 1, contrast = 1;
};

/// Draws the augmentation of sample `sample` in epoch `epoch` for pictures of size x size.
Augmentation draw_augmentation(const AugmentOptions& options, std::uint64_t seed, std::int64_t epoch,
                               std::int64_t sample, int size);

/// Applies warp (bilinear, repeating the border), brightness and contrast, but not the transform. Any number
/// of channels.
Image apply(const Augmentation& augmentation, const Image& image);

/// Landmarks of the picture after warp and flip.
Landmarks apply(const Augmentation& augmentation, const Landmarks& landmarks);

}  // namespace fer
