// dlib's frontal face detector: five linear classifiers (frontal, turned left and right, tilted left and
// right) on histograms of oriented gradients, slid over a pyramid of the picture (Dalal and Triggs, 2005;
// King, 2015). Its window is 80 x 80 pixels, so the picture is first scaled so that the smallest face to find
// has that size.
#include <algorithm>
#include <array>
#include <cmath>
#include <sstream>

#include "data/dlib/dlib_headers.h"
#include "fer/data/face_detector.h"
#include "fer/error.h"

namespace fer {
namespace {

using Detector = dlib::object_detector<dlib::scan_fhog_pyramid<dlib::pyramid_down<6>>>;

constexpr double window = 80;    // pixels per side
constexpr double most_zoom = 2;  // smaller faces than 40 pixels show too little
constexpr int least_side = 20;   // of a picture: half of the smallest face

constexpr unsigned char filters[] = {
#include "frontal_filters.inc"
};

Detector load_detector() {
  std::istringstream in(std::string(reinterpret_cast<const char*>(filters), sizeof(filters)));
  Detector detector;
  dlib::deserialize(detector, in);
  return detector;
}

class DlibFaceDetector : public FaceDetector {
 public:
  explicit DlibFaceDetector(const FaceDetectorOptions& options)
      : smallest_(options.smallest), detector_(load_detector()) {}

  std::vector<DetectedFace> detect(const Image& image) const override {
    if (std::min(image.width, image.height) < least_side) return {};
    const int longer = std::max(image.width, image.height);
    const double zoom = std::min(most_zoom, window / (smallest_ * longer));
    const auto scaled = [&](int side) { return std::max(1, static_cast<int>(std::lround(side * zoom))); };
    const Image grey = resize(to_grey(image), scaled(image.height), scaled(image.width));
    dlib::array2d<unsigned char> pixels(grey.height, grey.width);
    for (int y = 0; y < grey.height; ++y) std::copy_n(grey.row(y), grey.width, &pixels[y][0]);

    std::vector<std::pair<double, dlib::rectangle>> found;
    Detector detector = detector_;  // a copy: a search stores its pyramid in the detector
    detector(pixels, found);
    std::vector<DetectedFace> faces;
    for (const auto& [score, rectangle] : found) {
      const auto back = [&](double pixel) { return static_cast<int>(std::lround(pixel / zoom)); };
      const int side = back(static_cast<double>(rectangle.width()));
      faces.push_back({{back(static_cast<double>(rectangle.left())),
                        back(static_cast<double>(rectangle.top())), side, side},
                       score});
    }
    std::sort(faces.begin(), faces.end(), [](const DetectedFace& a, const DetectedFace& b) {
      return std::pair(a.box.x, a.box.y) < std::pair(b.box.x, b.box.y);
    });
    return faces;
  }

 private:
  double smallest_;
  Detector detector_;
};

}  // namespace

std::unique_ptr<FaceDetector> make_face_detector(const FaceDetectorOptions& options) {
  require<ConfigError>(options.smallest > 0 && options.smallest <= 1,
                       "the smallest face must be a share in (0, 1] of a picture's longer side, got ",
                       options.smallest);
  return std::make_unique<DlibFaceDetector>(options);
}

std::string face_detector_name(std::string*) {
  return FER_DLIB_NAME ", frontal faces";
}

}  // namespace fer
