// Renders the head's surface as a mesh through a depth buffer. 2 x 2 samples per pixel decide which triangle
// is in front and how much of the pixel is covered. Normal and position are then interpolated once per pixel.
#include <cmath>
#include <limits>
#include <numbers>

#include "data/faces/face_render.h"

namespace fer::detail {
namespace {

constexpr float widest_angle = 2.36f;  // 135 degrees to each side
constexpr int samples = 2;             // per pixel and direction

struct Vertex {
  Point2 at;  // in sample coordinates
  float depth = 0;
  Vec3 normal;
  float angle = 0, y = 0;
};

struct Mesh {
  int columns = 0, rows = 0;
  std::vector<Vec3> view;
  std::vector<Vertex> vertices;
};

Mesh build_mesh(const HeadGeometry& geometry, const HairModel& hair, int size) {
  Mesh mesh;
  mesh.columns = size <= 128 ? 45 : 97;
  mesh.rows = size <= 128 ? 44 : 96;
  const int count = mesh.columns * mesh.rows;
  mesh.view.resize(count);
  mesh.vertices.resize(count);
  struct Column {
    float angle, sine, cosine;
  };
  std::vector<Column> columns(mesh.columns);
  for (int c = 0; c < mesh.columns; ++c) {
    const float t = 2.0f * c / (mesh.columns - 1) - 1;
    const float angle = widest_angle * t * (0.72f + 0.28f * t * t);  // finer at the front
    columns[c] = {angle, std::sin(angle), std::cos(angle)};
  }
  for (int r = 0; r < mesh.rows; ++r) {
    HeadGeometry::Section s;
    const float y = geometry.profile(static_cast<float>(r) / (mesh.rows - 1), s);
    const float shift = geometry.jaw_shift(y);
    for (int c = 0; c < mesh.columns; ++c) {
      const auto [angle, sine, cosine] = columns[c];
      const float bump =
          cosine > 0 ? geometry.bump(s.half_width * sine, y) * smooth_step(0, 0.35f, cosine) : 0;
      const float lift = hair.present() ? hair.lift(angle, y) : 0;
      // hair stands off along the direction from the middle of the skull
      const Vec3 scalp{s.half_width * sine, y + shift * std::max(0.0f, cosine),
                       s.center + s.depth * cosine + bump};
      const Vec3 outwards = normalized({scalp.x, scalp.y + 0.25f, scalp.z + 0.1f});
      Vertex& v = mesh.vertices[r * mesh.columns + c];
      v.angle = angle;
      v.y = y;
      const Vec3 view = geometry.rotate(scalp + outwards * lift);
      mesh.view[r * mesh.columns + c] = view;
      const Point2 at = geometry.project_view(view);
      v.at = {at.x * samples, at.y * samples};
      v.depth = view.z;
    }
  }
  for (int r = 0; r < mesh.rows; ++r) {
    for (int c = 0; c < mesh.columns; ++c) {
      const auto at = [&](int i, int j) { return mesh.view[i * mesh.columns + j]; };
      const Vec3 across = at(r, std::min(c + 1, mesh.columns - 1)) - at(r, std::max(c - 1, 0));
      const Vec3 down = at(std::min(r + 1, mesh.rows - 1), c) - at(std::max(r - 1, 0), c);
      Vec3 n = cross(across, down);
      if (dot(n, n) < 1e-10f) n = {0, r < mesh.rows / 2 ? -1.0f : 1.0f, 0};  // the poles
      mesh.vertices[r * mesh.columns + c].normal = normalized(n);
    }
  }
  return mesh;
}

float twice_area(Point2 a, Point2 b, Point2 c) {
  return (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
}

void draw_triangle(DepthBuffer& buffer, const Vertex& a, const Vertex& b, const Vertex& c, int id) {
  const float area = twice_area(a.at, b.at, c.at);
  if (area <= 1e-6f) return;  // seen from behind
  const int width = buffer.width;
  const int x0 = std::max(0, ceil_to_int(std::min({a.at.x, b.at.x, c.at.x}) - 0.5f));
  const int y0 = std::max(0, ceil_to_int(std::min({a.at.y, b.at.y, c.at.y}) - 0.5f));
  const int x1 = std::min(width - 1, floor_to_int(std::max({a.at.x, b.at.x, c.at.x}) - 0.5f));
  const int y1 = std::min(width - 1, floor_to_int(std::max({a.at.y, b.at.y, c.at.y}) - 0.5f));
  if (x0 > x1 || y0 > y1) return;
  const float inverse = 1 / area;
  const Point2 first{x0 + 0.5f, y0 + 0.5f};
  float wa_row = twice_area(b.at, c.at, first) * inverse, wb_row = twice_area(c.at, a.at, first) * inverse;
  const float wa_dx = -(c.at.y - b.at.y) * inverse, wa_dy = (c.at.x - b.at.x) * inverse;
  const float wb_dx = -(a.at.y - c.at.y) * inverse, wb_dy = (a.at.x - c.at.x) * inverse;
  const float za = a.depth - c.depth, zb = b.depth - c.depth;
  for (int y = y0; y <= y1; ++y, wa_row += wa_dy, wb_row += wb_dy) {
    float wa = wa_row, wb = wb_row;
    for (int x = x0; x <= x1; ++x, wa += wa_dx, wb += wb_dx) {
      if (wa < 0 || wb < 0 || wa + wb > 1.00001f) continue;
      const float z = c.depth + wa * za + wb * zb;
      const std::size_t i = static_cast<std::size_t>(y) * width + x;
      if (z > buffer.depth[i]) {
        buffer.depth[i] = z;
        buffer.triangle[i] = id;
      }
    }
  }
}

std::array<const Vertex*, 3> corners(const Mesh& mesh, int id) {
  const int quad = id >> 1, r = quad / (mesh.columns - 1), c = quad % (mesh.columns - 1);
  const Vertex* v = &mesh.vertices[r * mesh.columns + c];
  const Vertex* below = v + mesh.columns;
  if (id & 1) return {v + 1, below + 1, below};
  return {v, v + 1, below};
}

}  // namespace

FaceWorkspace::FaceWorkspace(int size) : scene(size), albedo(size), shade(size), gloss(size) {
  head.size = size;
  head.pixels.resize(static_cast<std::size_t>(size) * size);
  depth.width = size * samples;
  depth.depth.resize(static_cast<std::size_t>(depth.width) * depth.width);
  depth.triangle.resize(depth.depth.size());
}

void rasterize_head(const HeadGeometry& geometry, const HairModel& hair, FaceWorkspace& workspace) {
  HeadBuffer& head = workspace.head;
  DepthBuffer& buffer = workspace.depth;
  const int size = head.size;
  const Mesh mesh = build_mesh(geometry, hair, size);
  std::fill(buffer.depth.begin(), buffer.depth.end(), std::numeric_limits<float>::lowest());
  std::fill(buffer.triangle.begin(), buffer.triangle.end(), -1);
  const int triangles = (mesh.columns - 1) * (mesh.rows - 1) * 2;
  for (int id = 0; id < triangles; ++id) {
    const auto [a, b, c] = corners(mesh, id);
    draw_triangle(buffer, *a, *b, *c, id);
  }
  for (int y = 0; y < size; ++y) {
    for (int x = 0; x < size; ++x) {
      int covered = 0, id = -1;
      for (int k = 0; k < samples * samples; ++k) {
        const int sy = y * samples + k / samples, sx = x * samples + k % samples;
        const int found = buffer.triangle[static_cast<std::size_t>(sy) * buffer.width + sx];
        if (found >= 0) {
          ++covered;
          id = found;
        }
      }
      HeadBuffer::Pixel& pixel = head.pixels[static_cast<std::size_t>(y) * size + x];
      pixel.coverage = static_cast<float>(covered) / (samples * samples);
      if (!covered) continue;
      const auto [a, b, c] = corners(mesh, id);
      const Point2 at{(x + 0.5f) * samples, (y + 0.5f) * samples};
      const float inverse = 1 / twice_area(a->at, b->at, c->at);
      const float wa = std::clamp(twice_area(b->at, c->at, at) * inverse, -0.2f, 1.2f);
      const float wb = std::clamp(twice_area(c->at, a->at, at) * inverse, -0.2f, 1.2f);
      const float wc = 1 - wa - wb;
      pixel.normal = normalized(a->normal * wa + b->normal * wb + c->normal * wc);
      pixel.angle = wa * a->angle + wb * b->angle + wc * c->angle;
      pixel.y = wa * a->y + wb * b->y + wc * c->y;
    }
  }
}

}  // namespace fer::detail
