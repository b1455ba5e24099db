// NumPy's .npy files, as far as AffectNet's annotations need them: numbers, and numbers written as strings.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "fer/data/faces.h"

namespace fer::detail {

/// The elements of an array of integers, floats, or strings ("<U3", "|S1") that contain numbers, in row-major
/// order. FormatError, naming the file, for damaged files and other element types (including pickled
/// objects).
std::vector<double> read_npy(const std::filesystem::path& path);

/// The single element; FormatError if there are more.
double read_npy_scalar(const std::filesystem::path& path);

/// AffectNet's *_aro.npy: -1 to 1, or none for -2 (not annotated).
std::optional<float> affectnet_arousal(const std::filesystem::path& path);
/// AffectNet's *_lnd.npy: 68 points in pixels of the picture.
Landmarks affectnet_landmarks(const std::filesystem::path& path, int width, int height);

}  // namespace fer::detail
