// Drawn faces: a small parametric head (a shaded surface with painted features) that shows seven expressions
// through facial action units, with its 68 landmarks known exactly. It gives a data set that needs no
// download and that controls identity, pose, light and occlusion.
//
//   fer::FaceParameters p = fer::sample_face(/*seed=*/1, /*identity=*/7, /*index=*/0);
//   fer::Face face = fer::draw_face(p, 112);      // face.image 112x112x3, face.landmarks[68]
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "fer/data/image.h"

namespace fer {

struct Point2 {
  float x = 0, y = 0;
};

/// 68 points in the order of iBUG / 300-W (jaw 0-16, brows 17-26, nose 27-35, eyes 36-47, lips 48-67), as
/// fractions of the picture: (0, 0) is its top left corner, (1, 1) its bottom right one.
using Landmarks = std::array<Point2, 68>;

/// For each landmark, the landmark that takes its place when the picture is mirrored.
std::span<const std::uint8_t, 68> mirrored_landmarks();
/// Landmarks of the mirrored picture.
Landmarks flip_landmarks(const Landmarks& landmarks);

/// The seven expressions, in RAF-DB's order.
enum class Expression : std::uint8_t { surprise, fear, disgust, happiness, sadness, anger, neutral };
constexpr int expression_count = 7;
/// "surprise", ...
const std::vector<std::string>& expression_names();

/// Intensities, 0 to 1, of the facial action units (Ekman and Friesen's FACS) that the head can move.
struct ActionUnits {
  float au1 = 0;   ///< inner brow raiser
  float au2 = 0;   ///< outer brow raiser
  float au4 = 0;   ///< brow lowerer
  float au5 = 0;   ///< upper lid raiser
  float au6 = 0;   ///< cheek raiser
  float au7 = 0;   ///< lid tightener
  float au9 = 0;   ///< nose wrinkler
  float au10 = 0;  ///< upper lip raiser
  float au12 = 0;  ///< lip corner puller
  float au15 = 0;  ///< lip corner depressor
  float au17 = 0;  ///< chin raiser
  float au20 = 0;  ///< lip stretcher
  float au23 = 0;  ///< lip tightener
  float au25 = 0;  ///< lips part
  float au26 = 0;  ///< jaw drop
  float au43 = 0;  ///< eyes closed
};

struct Rgb {
  float r = 0, g = 0, b = 0;  ///< linear light, 0 to 1
};

enum class HairStyle : std::uint8_t {
  bald,
  receding,
  cropped,
  short_parted,
  fringe,
  long_parted,
  long_fringe
};
enum class Beard : std::uint8_t { none, stubble, moustache, goatee, full };
enum class Glasses : std::uint8_t { none, thin, thick };

/// What stays the same between the pictures of one person. Shape values are offsets around 0 of about -1
/// to 1.
struct FaceIdentity {
  float head_width = 0, head_length = 0, jaw_width = 0, chin_width = 0, cheekbones = 0, cheek_fullness = 0;
  float forehead = 0, age = 0.3f;  ///< age: 0 young, 1 old (wrinkles)
  float eye_spacing = 0, eye_size = 0, eye_height = 0, eye_slant = 0, lid_fold = 0;
  float brow_height = 0, brow_thickness = 0, brow_arch = 0, brow_slant = 0, brow_darkness = 0.7f;
  float nose_length = 0, nose_width = 0, nose_height = 0, nose_tip = 0;
  float mouth_width = 0, mouth_height = 0, lip_fullness = 0, lip_redness = 0, corner_rest = 0;
  float ear_size = 0, asymmetry = 0, freckles = 0;
  Rgb skin{0.6f, 0.4f, 0.3f}, hair{0.05f, 0.03f, 0.02f}, iris{0.15f, 0.1f, 0.05f};
  HairStyle hair_style = HairStyle::cropped;
  float hair_volume = 0.5f, hair_curl = 0.3f, hair_parting = 0;
  Beard beard = Beard::none;
  Glasses glasses = Glasses::none;
};

/// Radians, and fractions of the picture.
struct FacePose {
  float yaw = 0, pitch = 0, roll = 0;  ///< positive: turned to the picture's right, down, clockwise
  float scale = 1, shift_x = 0, shift_y = 0;
  float gaze_x = 0, gaze_y = 0;  ///< -1 to 1
};

struct FaceLighting {
  float azimuth = 0, elevation = 0.6f;  ///< of the main light, radians; 0, 0: from the viewer
  float strength = 1, ambient = 0.4f, softness = 0.3f;
  Rgb colour{1, 1, 1};
  float exposure = 1, contrast = 1, saturation = 1, noise = 0.01f,
        blur = 0;  ///< saturation 0: a grey picture
};

struct FaceBackground {
  Rgb top{0.3f, 0.35f, 0.4f}, bottom{0.2f, 0.2f, 0.2f}, clothes{0.1f, 0.1f, 0.2f};
  std::uint32_t pattern = 0;  ///< places a few soft shapes; 0: none
};

enum class OcclusionKind : std::uint8_t { none, hand, hair_lock, bar, sunglasses, object };
struct FaceOcclusion {
  OcclusionKind kind = OcclusionKind::none;
  float x = 0, y = 0, size = 0.5f, angle = 0;  ///< place in the face's own coordinates
  Rgb colour{0.1f, 0.1f, 0.1f};
};

struct FaceParameters {
  Expression expression = Expression::neutral;
  float arousal = 0;  ///< 0 calm to 1 strong
  ActionUnits units;
  FaceIdentity identity;
  FacePose pose;
  FaceLighting lighting;
  FaceBackground background;
  FaceOcclusion occlusion;
  std::uint64_t texture_seed = 0;  ///< of skin, hair strands and sensor noise
};

struct Face {
  Image image;  ///< size x size x 3
  Landmarks landmarks;
};

/// The action units of an expression at an arousal, in their textbook (EMFACS) form.
ActionUnits expression_units(Expression expression, float arousal);

/// The person number `identity`.
FaceIdentity sample_identity(std::uint64_t seed, std::uint64_t identity);

/// Picture number `index` (below 2^24) of person number `identity` (below 2^40): expression, pose, light and
/// occlusion are drawn from (seed, identity, index); seven successive indices show the seven expressions.
FaceParameters sample_face(std::uint64_t seed, std::uint64_t identity, std::uint64_t index);

/// Draws a face. The result depends only on the arguments. Thread-safe. ConfigError unless 16 <= size <=
/// 2048.
Face draw_face(const FaceParameters& parameters, int size);

}  // namespace fer
