// The input that a network expects. Weight files store it in their metadata, under "input", and all code that
// converts a picture to a network's input follows it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace fer {

/// ImageNet's statistics of RGB in [0, 1], as torchvision publishes them.
inline constexpr std::array<double, 3> imagenet_mean{0.485, 0.456, 0.406}, imagenet_std{0.229, 0.224, 0.225};

/// y = (x - mean) / std, per channel, for RGB in [0, 1].
struct Normalisation {
  std::array<double, 3> mean = imagenet_mean, std = imagenet_std;
  bool operator==(const Normalisation&) const = default;
};

/// The luma of ITU-R BT.601, 0.299 R + 0.587 G + 0.114 B, in units of 1 / 65536: (19595 R + 38470 G + 7471 B
/// + 32768) >> 16 is the byte that Pillow's convert("L") returns.
inline constexpr std::array<int, 3> luma_weights{19595, 38470, 7471};

/// grey: the luma (to_grey) in three equal channels. A grey picture gives the same input with either.
enum class InputColour : std::uint8_t { grey, rgb };
std::string_view name_of(InputColour colour);
/// From "grey" and "rgb"; ConfigError otherwise.
InputColour parse_input_colour(std::string_view name);

struct InputSpec {
  InputColour colour = InputColour::rgb;
  std::int64_t size = 112;  ///< pixels a side, 1 to 4096
  /// Side of the detected face box / side of the picture (face_crop), 0.1 to 2; 0: the network takes whole
  /// pictures, not faces.
  double face_share = 0.83;
  Normalisation normalisation;
  bool operator==(const InputSpec&) const = default;
};

/// Key of the metadata.
inline constexpr const char* input_key = "input";

/// {"version": 1, "colour": "grey", "size": 112, "face_share": 0.83, "mean": [...], "std": [...]}
std::string to_json(const InputSpec& spec);
/// The inverse of to_json(). FormatError, naming `source` and the key, for another version, a missing or
/// unknown key, or a value of the wrong type or out of range.
InputSpec parse_input_spec(const std::string& text, const std::string& source);

/// "grey pictures of 112 x 112, in which a detected face box takes 0.83 of the side".
std::string description_of(const InputSpec& spec);

}  // namespace fer
