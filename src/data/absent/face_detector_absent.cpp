// Stand-in for the face detector in a build without dlib.
#include "fer/data/face_detector.h"
#include "fer/error.h"

namespace fer {
namespace {

constexpr const char* no_detector =
    "this build has no face detector, because dlib was not found or FER_DLIB was OFF; install libdlib-dev "
    "and "
    "configure with -DFER_DLIB=ON";

}  // namespace

std::unique_ptr<FaceDetector> make_face_detector(const FaceDetectorOptions&) {
  throw DeviceError(concat(no_detector, ", or cut the faces out and pass them with --crop none"));
}

std::string face_detector_name(std::string* reason) {
  if (reason) *reason = no_detector;
  return "";
}

}  // namespace fer
