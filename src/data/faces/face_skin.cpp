// The head's surface: light, skin, scalp hair, wrinkles and beard.
#include <cmath>
#include <numbers>

#include "data/faces/face_render.h"

namespace fer::detail {

Rgb FaceRenderer::light_at(Vec3 n) const {
  // Within skin, light bleeds around the terminator, red most of all.
  const float cosine = dot(n, light_);
  const float soft = p_.lighting.softness;
  const auto wrapped = [&](float wrap) {
    const float w = wrap + 0.5f * soft;
    const float v = std::max(0.0f, cosine + w) / (1 + w);
    return v * (0.44f + 0.81f * v);
  };
  const float sky = 0.72f - 0.28f * n.y + 0.12f * n.z;
  return {key_.r * wrapped(0.22f) + ambient_.r * sky, key_.g * wrapped(0.13f) + ambient_.g * sky,
          key_.b * wrapped(0.10f) + ambient_.b * sky};
}

void FaceRenderer::shade_head() {
  const FaceIdentity& id = p_.identity;
  const float pore = 0.16f;
  for (int y = 0; y < size_; ++y) {
    for (int x = 0; x < size_; ++x) {
      const HeadBuffer::Pixel& pixel = head_.pixels[static_cast<std::size_t>(y) * size_ + x];
      if (pixel.coverage <= 0) continue;
      const Vec3 n = pixel.normal;
      const float u = pixel.angle * 1.4f, v = pixel.y * 2;
      const float blotch = smooth_noise(u * 5 + phase_, v * 5 + 3) - 0.5f;
      const float grain = smooth_noise(u * 29 + phase_, v * 29) - 0.5f;
      Rgb colour = id.skin * (1 + pore * (0.5f * blotch + 0.4f * grain));
      colour.r *= 1 + 0.03f * blotch;
      Rgb light = light_at(n);
      const float edge = 0.70f + 0.30f * std::sqrt(std::max(0.0f, n.z));
      light = light * edge;
      const float shine = std::max(0.0f, dot(n, half_));
      const float s2 = shine * shine, s4 = s2 * s2, s8 = s4 * s4, s16 = s8 * s8;
      float gloss = (0.045f * s8 + 0.10f * s16 * s8) * (0.7f + 0.6f * grain + 0.3f * blotch);
      if (hair_.present()) {
        const float cover = hair_.cover(pixel.angle, pixel.y);
        if (cover > 0) {
          const float strand = hair_.strand(pixel.angle, pixel.y);
          // Kajiya and Kay: a strand reflects into a cone about its direction
          const Vec3 down = normalized(Vec3{0, 1, 0} - n * n.y);
          const float along = dot(down, half_);
          const float sine2 = std::max(0.0f, 1 - along * along);
          const float s = sine2 * sine2 * sine2 * sine2;
          colour = mix(colour, id.hair * strand, cover);
          gloss = mix(gloss, 0.10f * s * s * s * (strand - 0.35f) * (0.15f + id.hair.r), cover);
        } else {
          // the hair of the scalp shades the skin beneath it
          const float gap = pixel.y - hair_.line(pixel.angle);
          if (gap < 0.16f) light = light * mix(0.72f, 1.0f, smooth_step(0, 0.16f, gap));
        }
      }
      const float planes[3][3] = {{colour.r, colour.g, colour.b},
                                  {light.r, light.g, light.b},
                                  {gloss * key_.r, gloss * key_.g, gloss * key_.b}};
      for (int c = 0; c < 3; ++c) {
        albedo_.row(c, y)[x] = planes[0][c];
        shade_.row(c, y)[x] = planes[1][c];
        gloss_.row(c, y)[x] = planes[2][c];
      }
    }
  }
}

void FaceRenderer::paint_skin() {
  const ActionUnits& au = p_.units;
  const float flush = 0.35f + 0.25f * au.au12 + 0.2f * p_.arousal;
  const Rgb red{1.06f, 0.80f, 0.78f}, shadow{0.72f, 0.60f, 0.55f};
  for (float side : {-1.0f, 1.0f}) {
    const EyeShape& eye = geometry_.eye(side > 0 ? 1 : -1);
    albedo_.spot(at(side * 0.40f, 0.30f), px(0.14f), px(0.10f), 0, red, flush, Blend::multiply);
    // sockets: the inner corner, under the brow, under the eye
    shade_.spot(at(side * 0.155f, -0.035f), px(0.055f), px(0.075f), 0, shadow, 0.42f, Blend::multiply);
    shade_.spot(at(eye.center.x, eye.center.y - 0.055f), px(0.13f), px(0.035f), 0, shadow, 0.34f,
                Blend::multiply);
    albedo_.spot(at(eye.center.x - side * 0.03f, eye.center.y + 0.075f), px(0.10f), px(0.03f), 0,
                 {0.85f, 0.72f, 0.74f}, 0.35f + 0.3f * p_.identity.age, Blend::multiply);
  }
  const int freckles = static_cast<int>(60 * p_.identity.freckles);
  for (int k = 0; k < freckles;
       ++k) {  // across the nose and both cheeks, the same on every picture of a person
    const float a = 1.7f * k + 40 * p_.identity.freckles;
    const float x = 1.1f * (smooth_noise(a, 0.5f) - 0.5f),
                y = 0.02f + 0.42f * smooth_noise(a, 7.5f) - 0.15f * x * x;
    const float r = 0.007f + 0.007f * smooth_noise(a, 13.5f);
    albedo_.spot(at(x, y), px(r), px(r), 0, {0.62f, 0.42f, 0.30f}, 0.75f, Blend::multiply);
  }
  const auto& nose = geometry_.nose();
  albedo_.spot(at(0, nose[3].y), px(0.08f), px(0.06f), 0, red, 0.5f, Blend::multiply);
  albedo_.spot(at(0, geometry_.chin_y() - 0.12f), px(0.12f), px(0.06f), 0, red, 0.2f, Blend::multiply);
  // under the jaw it is dark
  const float chin = geometry_.chin_y() + geometry_.jaw_shift(geometry_.chin_y());
  shade_.spot(geometry_.project({0, chin + 0.03f, 0.05f}), px(0.34f), px(0.055f), p_.pose.roll, shadow * 0.8f,
              0.6f, Blend::multiply);
}

void FaceRenderer::paint_wrinkles() {
  const ActionUnits& au = p_.units;
  const float age = p_.identity.age;
  const Rgb crease{0.62f, 0.48f, 0.44f}, ridge{1.16f, 1.14f, 1.12f};
  const auto fold = [&](std::span<const Point2> points, float width, float depth) {
    if (depth <= 0.02f) return;
    Path line = spline(geometry_.place(points), steps_);
    shade_.stroke(line, px(width), crease, std::min(depth, 1.0f), Blend::multiply);
    for (Point2& q : line) q.y += px(width * 0.9f);
    shade_.stroke(line, px(width), ridge, 0.5f * std::min(depth, 1.0f), Blend::multiply);
  };
  const auto& nose = geometry_.nose();
  const MouthShape& mouth = geometry_.mouth();
  for (int side : {-1, 1}) {
    const float s = static_cast<float>(side);
    const Point2 wing = nose[side > 0 ? 8 : 4];
    const Point2 corner = mouth.outer[side > 0 ? 6 : 0];
    // nasolabial fold
    const float smile =
        std::max({0.9f * au.au12, 0.75f * au.au9, 0.7f * au.au10, 0.45f * au.au6, 0.3f * au.au20});
    const Point2 naso[4] = {
        {wing.x + s * 0.012f, wing.y - 0.04f - 0.02f * au.au9},
        {mix(wing.x, corner.x, 0.42f) + s * 0.045f, mix(wing.y, corner.y, 0.30f) - 0.012f},
        {corner.x + s * (0.038f + 0.01f * au.au12), mix(wing.y, corner.y, 0.78f)},
        {corner.x + s * 0.052f, corner.y + 0.05f}};
    fold(naso, 0.026f, 0.10f + 0.28f * age + 0.6f * smile);
    // mouth corner: dimple when pulled up, marionette line when pulled down
    const Point2 down[3] = {{corner.x + s * 0.008f, corner.y},
                            {corner.x + s * 0.03f, corner.y + 0.055f},
                            {corner.x + s * 0.035f, corner.y + 0.11f}};
    fold(down, 0.02f, 0.75f * au.au15 + 0.2f * au.au17 + 0.25f * (age - 0.4f));
    const EyeShape& eye = geometry_.eye(side);
    for (int k = 0; k < 3; ++k) {  // crow's feet
      const float spread = (k - 1) * 0.045f;
      const Point2 feet[3] = {{eye.outer.x + s * 0.035f, eye.outer.y + 0.3f * spread},
                              {eye.outer.x + s * 0.075f, eye.outer.y + 0.8f * spread},
                              {eye.outer.x + s * 0.12f, eye.outer.y + 1.5f * spread}};
      fold(feet, 0.014f, 0.75f * au.au6 + 0.35f * (age - 0.5f));
    }
    // pouch under the eye
    const Point2 pouch[4] = {{eye.inner.x + s * 0.01f, eye.inner.y + 0.03f},
                             {eye.center.x - s * 0.04f, eye.center.y + eye.lower + 0.055f},
                             {eye.center.x + s * 0.06f, eye.center.y + eye.lower + 0.05f},
                             {eye.outer.x - s * 0.005f, eye.outer.y + 0.04f}};
    fold(pouch, 0.018f, 0.16f + 0.3f * age + 0.55f * au.au6 + 0.35f * au.au7);
    // between the brows
    const Point2 inner = geometry_.brow(side)[0];
    const Point2 frown[3] = {{inner.x - s * 0.045f, inner.y - 0.055f},
                             {inner.x - s * 0.055f, inner.y + 0.0f},
                             {inner.x - s * 0.04f, inner.y + 0.06f}};
    fold(frown, 0.02f, 0.95f * au.au4 + 0.4f * au.au9 + 0.3f * (age - 0.6f));
    // wrinkled nose
    for (int k = 0; k < 2; ++k) {
      const Point2 bunny[3] = {{s * 0.015f, 0.02f + 0.055f * k},
                               {s * 0.05f, 0.005f + 0.055f * k},
                               {s * 0.085f, 0.03f + 0.06f * k}};
      fold(bunny, 0.018f, 0.95f * au.au9);
    }
  }
  const float forehead =
      std::max(0.9f * std::min(1.0f, 0.7f * au.au1 + 0.45f * au.au2), 0.35f * (age - 0.35f));
  for (int k = 0; k < 3; ++k) {
    const float y = -0.36f - 0.085f * k - 0.03f * au.au2;
    const float reach = mix(0.20f, 0.40f, clamp01(au.au2 + 0.4f)) - 0.03f * k;
    const float arch = 0.02f * au.au2 - 0.045f * au.au1 * (1 - au.au2);
    const Point2 line[5] = {{-reach, y + 0.02f},
                            {-0.5f * reach, y - arch},
                            {0, y + 0.008f},
                            {0.5f * reach, y - arch},
                            {reach, y + 0.02f}};
    fold(line, 0.018f, forehead * (1 - 0.2f * k));
  }
  const float chin_y = mouth.line_y + 0.16f + geometry_.jaw_shift(mouth.line_y + 0.2f);
  const Point2 chin[3] = {{-0.13f, chin_y + 0.025f}, {0, chin_y - 0.012f}, {0.13f, chin_y + 0.025f}};
  fold(chin, 0.026f, 0.22f + 0.6f * au.au17);
  if (au.au17 > 0.05f) {  // the chin's skin puckers
    for (int k = 0; k < 7; ++k) {
      const float x = 0.13f * (smooth_noise(k * 3.7f, phase_) * 2 - 1),
                  y = chin_y + 0.06f + 0.09f * smooth_noise(k * 5.1f, 9.5f);
      shade_.spot(at(x, y), px(0.016f), px(0.012f), 0, crease, 0.6f * au.au17, Blend::multiply);
    }
  }
}

void FaceRenderer::paint_beard() {
  const FaceIdentity& id = p_.identity;
  if (id.beard == Beard::none) return;
  const MouthShape& mouth = geometry_.mouth();
  const float amount = id.beard == Beard::stubble ? 0.38f : 0.9f;
  const float drop = geometry_.jaw_shift(0.9f);
  const float lip_top = mouth.outer[3].y, lip_bottom = mouth.outer[9].y, w = mouth.half_width;
  const float nose_y = geometry_.nose()[6].y;
  const Rgb colour = id.hair * 0.85f;
  const float scale = 1 / px(1);
  const auto hairs = [&](float x, float y) {
    return colour * (0.70f + 0.6f * smooth_noise(x * scale * 75 + phase_, y * scale * 24));
  };
  const auto soften = [&](Mask mask, float opacity) {
    for (int y = 0; y < mask.height; ++y) {
      float* row = mask.row(y);
      for (int x = 0; x < mask.width; ++x) {
        if (row[x] <= 0) continue;
        const float n = smooth_noise((mask.x0 + x) * scale * 95 + phase_, (mask.y0 + y) * scale * 40);
        row[x] *= clamp01(opacity * (0.72f + 0.5f * n));
      }
    }
    return mask;
  };
  const auto grow = [&](std::span<const Point2> points) {
    albedo_.paint_with(soften(albedo_.coverage(spline(geometry_.place(points), steps_, true)), amount),
                       hairs);
  };
  if (id.beard != Beard::goatee || id.age > 0.3f) {  // moustache
    const float inner = lip_top - 0.012f, top = mix(nose_y, lip_top, 0.35f);
    const Point2 lip[10] = {{0, top + 0.012f},
                            {0.10f, top},
                            {w * 0.85f, inner - 0.02f},
                            {w + 0.03f, mouth.outer[6].y + 0.02f},
                            {w - 0.02f, mouth.outer[6].y - 0.012f},
                            {0, inner},
                            {-w + 0.02f, mouth.outer[0].y - 0.012f},
                            {-w - 0.03f, mouth.outer[0].y + 0.02f},
                            {-w * 0.85f, inner - 0.02f},
                            {-0.10f, top}};
    grow(lip);
  }
  if (id.beard == Beard::goatee) {
    const Point2 chin[6] = {{0, lip_bottom + 0.03f}, {0.12f, lip_bottom + 0.06f},
                            {0.15f, 0.88f + drop},   {0, 1.0f + drop},
                            {-0.15f, 0.88f + drop},  {-0.12f, lip_bottom + 0.06f}};
    grow(chin);
  }
  if (id.beard == Beard::full || id.beard == Beard::stubble) {
    for (float s : {-1.0f, 1.0f}) {
      // cheek, jaw and half of the chin
      const Point2 cheek[11] = {{s * 0.69f, 0.06f},
                                {s * 0.60f, 0.20f},
                                {s * 0.52f, 0.42f},
                                {s * (w + 0.07f), mouth.outer[0].y - 0.03f},
                                {s * (w + 0.02f), mouth.outer[0].y + 0.06f},
                                {s * 0.11f, lip_bottom + 0.045f},
                                {0, lip_bottom + 0.05f},
                                {0, 1.03f + drop},
                                {s * 0.28f, 0.97f + drop},
                                {s * 0.50f, 0.78f + 0.7f * drop},
                                {s * 0.66f, 0.45f}};
      grow(cheek);
    }
  }
}

void FaceRenderer::composite_head() {
  for (int y = 0; y < size_; ++y) {
    for (int c = 0; c < 3; ++c) {
      float* to = scene_.row(c, y);
      const float *albedo = albedo_.row(c, y), *shade = shade_.row(c, y), *gloss = gloss_.row(c, y);
      const HeadBuffer::Pixel* pixel = &head_.pixels[static_cast<std::size_t>(y) * size_];
      for (int x = 0; x < size_; ++x) {
        to[x] += pixel[x].coverage * (albedo[x] * shade[x] + gloss[x] - to[x]);
      }
    }
  }
}

}  // namespace fer::detail
