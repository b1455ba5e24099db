// Draws the parameters of a face at random from (seed, identity, index): person, expression, pose and light.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "data/faces/face_canvas.h"
#include "fer/data/faces.h"
#include "fer/error.h"
#include "fer/tensor/random.h"

namespace fer {
namespace {

using detail::clamp01;
using detail::mix;
using detail::operator*;

class Draw {
 public:
  Draw(std::uint64_t seed, std::string_view purpose, std::uint64_t index)
      : random_({seed, fnv1a64(purpose), index}) {}

  float uniform(float low, float high) { return static_cast<float>(random_.uniform(low, high)); }
  /// Bell-shaped, about -1 to 1.
  float shape() { return std::clamp(0.5f * static_cast<float>(random_.normal()), -1.3f, 1.3f); }
  bool chance(double p) { return random_.uniform() < p; }
  int below(int n) { return static_cast<int>(random_.below(n)); }
  std::uint64_t word() { return random_.bits(); }
  /// An index, drawn by weights.
  template <std::size_t N>
  int pick(const double (&weights)[N]) {
    double sum = 0;
    for (double w : weights) sum += w;
    double r = random_.uniform() * sum;
    for (std::size_t i = 0; i < N; ++i) {
      if ((r -= weights[i]) < 0) return static_cast<int>(i);
    }
    return static_cast<int>(N) - 1;
  }

 private:
  Random random_;
};

Rgb sample_skin(Draw& draw) {
  static constexpr Rgb tones[5] = {{0.80f, 0.56f, 0.45f},
                                   {0.70f, 0.45f, 0.32f},
                                   {0.52f, 0.30f, 0.19f},
                                   {0.30f, 0.155f, 0.09f},
                                   {0.13f, 0.065f, 0.04f}};
  const float t = draw.uniform(0, 3.9f);
  const int i = static_cast<int>(t);
  const Rgb c = mix(tones[i], tones[i + 1], t - i);
  const float warm = draw.uniform(-0.05f, 0.05f);
  return {c.r * (1 + warm), c.g, c.b * (1 - warm)};
}

Rgb sample_hair(Draw& draw, float age, bool dark_skin) {
  static constexpr Rgb colours[7] = {
      {0.010f, 0.009f, 0.009f}, {0.030f, 0.018f, 0.012f}, {0.070f, 0.040f, 0.024f}, {0.13f, 0.075f, 0.04f},
      {0.42f, 0.28f, 0.13f},    {0.26f, 0.08f, 0.03f},    {0.34f, 0.33f, 0.33f}};
  if (age > 0.55f && draw.chance(age - 0.35f))
    return mix(colours[6], colours[draw.below(3)], draw.uniform(0, 0.6f));
  static constexpr double any[6] = {3, 3, 3, 2, 2, 0.7}, dark[6] = {5, 2, 0.5, 0.05, 0.05, 0.02};
  const int i = dark_skin ? draw.pick(dark) : draw.pick(any);
  return colours[i] * draw.uniform(0.8f, 1.25f);
}

Rgb any_colour(Draw& draw, float brightest) {
  const float value = brightest * draw.uniform(0.06f, 1.0f);
  const float saturation = draw.uniform(0, 0.7f) * draw.uniform(0.2f, 1);
  const float hue = draw.uniform(0, 6.2832f);
  const auto channel = [&](float phase) {
    return value * (1 - saturation * (0.5f + 0.5f * std::cos(hue + phase)));
  };
  return {channel(0), channel(2.094f), channel(4.189f)};
}

FacePose sample_pose(Draw& draw) {
  FacePose pose;
  pose.yaw = std::clamp(0.21f * 2 * draw.shape(), -0.55f, 0.55f);
  pose.pitch = std::clamp(0.11f * 2 * draw.shape(), -0.28f, 0.28f);
  pose.roll = 0.075f * 2 * draw.shape();
  pose.scale = draw.uniform(0.88f, 1.10f);
  pose.shift_x = draw.uniform(-0.035f, 0.035f);
  pose.shift_y = draw.uniform(-0.035f, 0.035f);
  if (draw.chance(0.35)) {
    pose.gaze_x = draw.uniform(-1, 1);
    pose.gaze_y = draw.uniform(-0.6f, 0.6f);
  }
  return pose;
}

FaceLighting sample_lighting(Draw& draw) {
  FaceLighting l;
  l.azimuth = draw.uniform(-1.15f, 1.15f);
  l.elevation = draw.uniform(-0.15f, 1.0f);
  l.strength = draw.uniform(0.55f, 1.15f);
  l.ambient = draw.uniform(0.22f, 0.60f);
  l.softness = draw.uniform(0, 0.8f);
  const float warm = draw.uniform(-0.16f, 0.20f);
  l.colour = {1 + 0.6f * warm, 1, 1 - warm};
  l.exposure = draw.uniform(0.75f, 1.35f);
  l.contrast = draw.uniform(0.85f, 1.15f);
  l.saturation = draw.chance(0.2) ? 0.0f : draw.uniform(0.6f, 1.1f);
  l.noise = draw.chance(0.3) ? draw.uniform(0.02f, 0.06f) : draw.uniform(0, 0.02f);
  l.blur = draw.chance(0.35) ? draw.uniform(0.2f, 1) : 0.0f;
  return l;
}

FaceOcclusion sample_occlusion(Draw& draw, const Rgb& skin) {
  FaceOcclusion o;
  if (!draw.chance(0.13)) return o;
  static constexpr double weights[5] = {3, 3, 2, 2, 2};
  o.kind = static_cast<OcclusionKind>(1 + draw.pick(weights));
  o.size = draw.uniform(0, 1);
  const float side = draw.chance(0.5) ? 1.0f : -1.0f;
  switch (o.kind) {
    case OcclusionKind::hand:  // on a cheek or at the chin
      o.x = side * draw.uniform(0.50f, 0.72f);
      o.y = draw.uniform(0.35f, 0.75f);
      o.angle = -side * draw.uniform(0.0f, 0.5f);
      o.colour = skin;
      break;
    case OcclusionKind::hair_lock:
      o.x = side;
      break;
    case OcclusionKind::bar:  // over the forehead, the nose or the chin
      o.y = draw.chance(0.4)   ? draw.uniform(-0.75f, -0.45f)
            : draw.chance(0.5) ? draw.uniform(0.2f, 0.3f)
                               : draw.uniform(0.85f, 1.0f);
      o.angle = draw.uniform(-0.15f, 0.15f);
      o.colour = any_colour(draw, 0.6f);
      break;
    case OcclusionKind::object:
      o.x = side * draw.uniform(0.42f, 0.75f);
      o.y = draw.uniform(0.75f, 1.0f);
      o.angle = side * draw.uniform(-0.1f, 0.2f);
      o.colour = any_colour(draw, 0.8f);
      break;
    default:
      break;
  }
  return o;
}

/// People differ in how they show an expression, and so do moments: intensities vary, and some units drop
/// out.
ActionUnits vary(const ActionUnits& units, Expression expression, float arousal, Draw& draw) {
  ActionUnits au = units;
  float* values = &au.au1;
  constexpr int count = sizeof(ActionUnits) / sizeof(float);
  for (int i = 0; i < count; ++i) values[i] = clamp01(values[i] * draw.uniform(0.72f, 1.18f));
  const float open = draw.uniform(0, 1);
  switch (expression) {
    case Expression::happiness:  // closed smile, teeth, laughing
      au.au25 = open < 0.3f ? 0 : au.au25 * draw.uniform(0.4f, 1.2f);
      au.au26 = open > 0.6f ? arousal * draw.uniform(0.1f, 0.6f) : 0;
      break;
    case Expression::anger:  // lips pressed, or teeth bared
      if (open > 0.6f) {
        au.au23 *= 0.3f;
        au.au10 = arousal * draw.uniform(0.3f, 0.7f);
        au.au25 = arousal * draw.uniform(0.4f, 1);
        au.au26 = arousal * draw.uniform(0, 0.4f);
      }
      break;
    case Expression::disgust:
      if (open > 0.65f) au.au25 = arousal * draw.uniform(0.2f, 0.8f);
      break;
    case Expression::sadness:
      if (open > 0.8f) au.au25 = arousal * draw.uniform(0.1f, 0.5f);
      if (draw.chance(0.2)) au.au43 = arousal * draw.uniform(0, 0.35f);
      break;
    case Expression::neutral:
      for (int i = 0; i < count; ++i)
        values[i] = clamp01(values[i] + 0.07f * std::max(0.0f, 2 * draw.shape()));
      au.au9 *= 0.3f;
      au.au26 *= 0.3f;
      au.au43 = draw.chance(0.04) ? draw.uniform(0.5f, 1) : 0.0f;
      break;
    default:
      break;
  }
  for (int i = 0; i < count; ++i) values[i] = clamp01(values[i]);
  return au;
}

}  // namespace

ActionUnits expression_units(Expression expression, float arousal) {
  // Ekman's prototypes (EMFACS); intensity grows with arousal, from just visible
  const float a = expression == Expression::neutral ? 0 : 0.28f + 0.72f * clamp01(arousal);
  ActionUnits au;
  switch (expression) {
    case Expression::surprise:
      au.au1 = a, au.au2 = a, au.au5 = 0.85f * a, au.au25 = a, au.au26 = 0.95f * a;
      break;
    case Expression::fear:
      au.au1 = a, au.au2 = 0.45f * a, au.au4 = 0.8f * a, au.au5 = a, au.au7 = 0.2f * a, au.au20 = a,
      au.au25 = 0.9f * a;
      au.au26 = 0.22f * a;
      break;
    case Expression::disgust:
      au.au9 = a, au.au10 = a, au.au7 = 0.5f * a, au.au4 = 0.35f * a, au.au15 = 0.35f * a,
      au.au17 = 0.35f * a;
      break;
    case Expression::happiness:
      au.au6 = a, au.au12 = a, au.au25 = a;
      break;
    case Expression::sadness:
      au.au1 = a, au.au4 = 0.7f * a, au.au15 = a, au.au17 = 0.6f * a, au.au7 = 0.2f * a;
      break;
    case Expression::anger:
      au.au4 = a, au.au5 = 0.35f * a, au.au7 = 0.7f * a, au.au23 = a;
      break;
    case Expression::neutral:
      break;
  }
  return au;
}

FaceIdentity sample_identity(std::uint64_t seed, std::uint64_t identity) {
  Draw draw(seed, "faces.identity", identity);
  FaceIdentity id;
  for (float* value :
       {&id.head_width,     &id.head_length,  &id.jaw_width,    &id.chin_width,     &id.cheekbones,
        &id.cheek_fullness, &id.forehead,     &id.eye_spacing,  &id.eye_size,       &id.eye_height,
        &id.eye_slant,      &id.lid_fold,     &id.brow_height,  &id.brow_thickness, &id.brow_arch,
        &id.brow_slant,     &id.nose_length,  &id.nose_width,   &id.nose_height,    &id.nose_tip,
        &id.mouth_width,    &id.mouth_height, &id.lip_fullness, &id.lip_redness,    &id.corner_rest,
        &id.ear_size,       &id.asymmetry}) {
    *value = draw.shape();
  }
  id.age = draw.uniform(0, 1) * draw.uniform(0.3f, 1);
  id.brow_darkness = draw.uniform(0.55f, 1);
  id.skin = sample_skin(draw);
  const bool dark = id.skin.r < 0.42f;
  id.freckles = !dark && draw.chance(0.12) ? draw.uniform(0.3f, 1) : 0.0f;
  id.hair = sample_hair(draw, id.age, dark);
  static constexpr Rgb irises[6] = {{0.045f, 0.022f, 0.012f}, {0.09f, 0.045f, 0.02f}, {0.15f, 0.09f, 0.03f},
                                    {0.11f, 0.15f, 0.06f},    {0.10f, 0.18f, 0.30f},  {0.19f, 0.22f, 0.25f}};
  static constexpr double any[6] = {2, 3, 1.5, 1.3, 2, 1}, brown[6] = {4, 2, 0.4, 0.05, 0.05, 0.05};
  id.iris = irises[dark ? draw.pick(brown) : draw.pick(any)];
  const bool masculine = draw.chance(0.5);
  static constexpr double short_styles[7] = {1.0, 1.2, 4, 3.5, 1.2, 0.4, 0.1},
                          long_styles[7] = {0.05, 0, 1, 1, 1.5, 4, 2.5};
  id.hair_style = static_cast<HairStyle>(masculine ? draw.pick(short_styles) : draw.pick(long_styles));
  id.hair_volume = draw.uniform(0, 1);
  id.hair_curl = draw.uniform(0, 1) * (dark ? 1 : draw.uniform(0.2f, 1));
  id.hair_parting = draw.uniform(-1, 1);
  if (masculine) {
    id.brow_thickness = std::min(1.3f, id.brow_thickness + 0.3f);
    id.jaw_width = std::min(1.3f, id.jaw_width + 0.25f);
    static constexpr double beards[5] = {5, 2, 0.8, 0.8, 1.4};
    id.beard = static_cast<Beard>(draw.pick(beards));
  } else {
    id.lip_redness = std::min(1.6f, id.lip_redness + 0.5f);
    id.lip_fullness = std::min(1.3f, id.lip_fullness + 0.2f);
  }
  static constexpr double glasses[3] = {8, 1, 1};
  id.glasses = static_cast<Glasses>(draw.pick(glasses));
  return id;
}

FaceParameters sample_face(std::uint64_t seed, std::uint64_t identity, std::uint64_t index) {
  require<ConfigError>(identity < (std::uint64_t{1} << 40) && index < (std::uint64_t{1} << 24),
                       "faces are numbered by an identity below 2^40 and an index below 2^24, got ", identity,
                       " and ", index);
  Draw draw(seed, "faces.picture", identity << 24 | index);
  FaceParameters p;
  p.identity = sample_identity(seed, identity);
  p.expression = static_cast<Expression>((index + identity) % expression_count);
  p.arousal = p.expression == Expression::neutral ? draw.uniform(0, 0.12f) : draw.uniform(0.25f, 1);
  p.units = vary(expression_units(p.expression, p.arousal), p.expression, p.arousal, draw);
  p.pose = sample_pose(draw);
  p.lighting = sample_lighting(draw);
  p.background.top = any_colour(draw, 0.8f);
  p.background.bottom = any_colour(draw, 0.6f);
  p.background.clothes = any_colour(draw, 0.6f);
  p.background.pattern = static_cast<std::uint32_t>(draw.word() | 1);
  p.occlusion = sample_occlusion(draw, p.identity.skin);
  p.texture_seed = draw.word();
  return p;
}

}  // namespace fer
