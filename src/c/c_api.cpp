// The C API: each function does its work inside of guarded(), which no exception leaves.
#include "fer/c.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <new>
#include <string>
#include <vector>

#include "fer/inference/face_reader.h"
#include "fer/tensor/backend.h"

struct fer_model {
  fer::FaceReader reader;
  std::mutex turn;  // of the threads that use it
};

struct fer_faces {
  std::vector<fer::FaceReading> readings;
  std::vector<fer_face> faces;
};

namespace fer {
namespace {

thread_local std::string error_message;
thread_local const char* error_text = "";

/// Keeps the message; where there is no memory for it, what can be said without.
void set_error(const char* message) noexcept {
  try {
    error_message = message;
    error_text = error_message.c_str();
  } catch (...) {
    error_text = "out of memory";
  }
}

fer_status failed(fer_status status, const char* message) noexcept {
  set_error(message);
  return status;
}

template <typename F>
fer_status guarded(F&& f) noexcept {
  try {
    f();
    return FER_OK;
  } catch (const IoError& error) {
    return failed(FER_ERROR_FILE, error.what());
  } catch (const FormatError& error) {
    return failed(FER_ERROR_FORMAT, error.what());
  } catch (const DeviceError& error) {
    return failed(FER_ERROR_DEVICE, error.what());
  } catch (const ConfigError& error) {
    return failed(FER_ERROR_ARGUMENT, error.what());
  } catch (const ShapeError& error) {
    return failed(FER_ERROR_ARGUMENT, error.what());
  } catch (const std::bad_alloc&) {
    return failed(FER_ERROR_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return failed(FER_ERROR_OTHER, error.what());
  } catch (...) {
    return failed(FER_ERROR_OTHER, "an error of unknown kind");
  }
}

void require_given(const void* pointer, const char* function, const char* what) {
  require<ConfigError>(pointer != nullptr, function, ": ", what, " is NULL");
}

Image image_of(const fer_pixels* pixels, const char* function) {
  require_given(pixels, function, "the picture");
  require_given(pixels->data, function, "the data of the picture");
  const auto [data, width, height, channels, row_bytes] = *pixels;
  require<ConfigError>(width > 0 && height > 0, function, ": a picture of ", width, " x ", height, " pixels");
  // The limit of read_image(), so that sizes cannot overflow either.
  require<ConfigError>(static_cast<std::int64_t>(width) * height <= std::int64_t{1} << 28, function,
                       ": a picture of ", width, " x ", height, " pixels; at most 2^28 can be read");
  require<ConfigError>(channels == 1 || channels == 3, function, ": a picture of ", channels,
                       " channels; it must be grey (1) or red, green, blue (3)");
  const std::size_t used = static_cast<std::size_t>(width) * static_cast<std::size_t>(channels);
  require<ConfigError>(row_bytes == 0 || row_bytes >= used, function, ": rows of ", width, " pixels and ",
                       channels, " channels have ", used, " bytes or more, got ", row_bytes);
  Image image(height, width, channels);
  const std::size_t step = row_bytes == 0 ? used : row_bytes;
  for (int y = 0; y < height; ++y) std::memcpy(image.row(y), data + static_cast<std::size_t>(y) * step, used);
  return image;
}

template <typename GetImage>
fer_status predict(const char* function, fer_model* model, float* probabilities, int room,
                   const GetImage& get_image) noexcept {
  return guarded([&] {
    require_given(model, function, "the model");
    require_given(probabilities, function, "the room for probabilities");
    const std::size_t classes = model->reader.class_names().size();
    require<ConfigError>(room >= 0 && static_cast<std::size_t>(room) >= classes, function, ": room for ",
                         room, " probabilities; the model has ", classes, " classes");
    const Image image = get_image();
    const std::lock_guard turn(model->turn);
    const SamplePrediction prediction = model->reader.classifier().predict(image);
    std::copy(prediction.probabilities.begin(), prediction.probabilities.end(), probabilities);
  });
}

template <typename GetImage>
fer_status find_faces(const char* function, fer_model* model, fer_faces** faces,
                      const GetImage& get_image) noexcept {
  return guarded([&] {
    require_given(faces, function, "the place for the faces");
    *faces = nullptr;
    require_given(model, function, "the model");
    const Image image = get_image();
    auto found = std::make_unique<fer_faces>();
    {
      const std::lock_guard turn(model->turn);
      found->readings = model->reader.read(image);
    }
    for (const FaceReading& reading : found->readings) {
      static_assert(sizeof(Point2) == 2 * sizeof(float));
      const float* landmarks = reading.landmarks ? &reading.landmarks->front().x : nullptr;
      found->faces.push_back({reading.box.x, reading.box.y, reading.box.width, reading.box.height,
                              static_cast<int>(reading.prediction.predicted),
                              reading.prediction.probabilities.data(), landmarks});
    }
    *faces = found.release();
  });
}

}  // namespace
}  // namespace fer

const char* fer_version(void) {
  return FER_VERSION;
}

const char* fer_last_error(void) {
  return fer::error_text;
}

int fer_device_available(const char* device) {
  bool available = false;
  fer::guarded([&] {
    fer::require_given(device, "fer_device_available", "the device");
    std::string reason;
    available = fer::is_available(fer::parse_device(device), &reason);
    fer::require<fer::DeviceError>(available, reason);
  });
  return available ? 1 : 0;
}

fer_status fer_load(const char* weights, const char* device, fer_model** model) {
  return fer::guarded([&] {
    fer::require_given(model, "fer_load", "the place for the model");
    *model = nullptr;
    const std::filesystem::path file = weights ? std::filesystem::path(weights) : fer::default_weights();
    fer::Classifier classifier = fer::load_classifier(file, fer::parse_device(device ? device : "cpu"));
    *model = new fer_model{fer::FaceReader(std::move(classifier)), {}};
  });
}

void fer_free(fer_model* model) {
  delete model;
}

int fer_class_count(const fer_model* model) {
  int count = 0;
  fer::guarded([&] {
    fer::require_given(model, "fer_class_count", "the model");
    count = static_cast<int>(model->reader.class_names().size());
  });
  return count;
}

const char* fer_class_name(const fer_model* model, int number) {
  const char* name = nullptr;
  fer::guarded([&] {
    fer::require_given(model, "fer_class_name", "the model");
    const std::vector<std::string>& names = model->reader.class_names();
    fer::require<fer::ConfigError>(number >= 0 && static_cast<std::size_t>(number) < names.size(),
                                   "fer_class_name: class ", number, " of ", names.size());
    name = names[static_cast<std::size_t>(number)].c_str();
  });
  return name;
}

fer_status fer_predict_pixels(fer_model* model, const fer_pixels* pixels, float* probabilities, int room) {
  constexpr const char* self = "fer_predict_pixels";
  return fer::predict(self, model, probabilities, room, [&] { return fer::image_of(pixels, self); });
}

fer_status fer_predict_file(fer_model* model, const char* path, float* probabilities, int room) {
  constexpr const char* self = "fer_predict_file";
  return fer::predict(self, model, probabilities, room, [&] {
    fer::require_given(path, self, "the path");
    return fer::read_image(path);
  });
}

fer_status fer_find_faces_pixels(fer_model* model, const fer_pixels* pixels, fer_faces** faces) {
  constexpr const char* self = "fer_find_faces_pixels";
  return fer::find_faces(self, model, faces, [&] { return fer::image_of(pixels, self); });
}

fer_status fer_find_faces_file(fer_model* model, const char* path, fer_faces** faces) {
  constexpr const char* self = "fer_find_faces_file";
  return fer::find_faces(self, model, faces, [&] {
    fer::require_given(path, self, "the path");
    return fer::read_image(path);
  });
}

int fer_face_count(const fer_faces* faces) {
  int count = 0;
  fer::guarded([&] {
    fer::require_given(faces, "fer_face_count", "the list of faces");
    count = static_cast<int>(faces->faces.size());
  });
  return count;
}

const fer_face* fer_face_at(const fer_faces* faces, int number) {
  const fer_face* face = nullptr;
  fer::guarded([&] {
    fer::require_given(faces, "fer_face_at", "the list of faces");
    fer::require<fer::ConfigError>(number >= 0 && static_cast<std::size_t>(number) < faces->faces.size(),
                                   "fer_face_at: face ", number, " of ", faces->faces.size());
    face = &faces->faces[static_cast<std::size_t>(number)];
  });
  return face;
}

void fer_faces_free(fer_faces* faces) {
  delete faces;
}
