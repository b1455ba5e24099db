// Names of the expressions, and landmarks of mirrored faces.
#include "fer/data/faces.h"

namespace fer {
namespace {

constexpr std::array<std::uint8_t, 68> mirror_table() {
  std::array<std::uint8_t, 68> table{};
  for (int i = 0; i <= 16; ++i) table[i] = static_cast<std::uint8_t>(16 - i);   // jaw
  for (int i = 17; i <= 26; ++i) table[i] = static_cast<std::uint8_t>(43 - i);  // brows
  for (int i = 27; i <= 30; ++i) table[i] = static_cast<std::uint8_t>(i);       // bridge
  for (int i = 31; i <= 35; ++i) table[i] = static_cast<std::uint8_t>(66 - i);  // nostrils
  constexpr std::uint8_t eyes[12] = {45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40};
  for (int i = 0; i < 12; ++i) table[36 + i] = eyes[i];
  for (int i = 48; i <= 54; ++i) table[i] = static_cast<std::uint8_t>(102 - i);  // upper lip, outside
  for (int i = 55; i <= 59; ++i) table[i] = static_cast<std::uint8_t>(114 - i);  // lower lip, outside
  for (int i = 60; i <= 64; ++i) table[i] = static_cast<std::uint8_t>(124 - i);  // upper lip, inside
  for (int i = 65; i <= 67; ++i) table[i] = static_cast<std::uint8_t>(132 - i);  // lower lip, inside
  return table;
}

}  // namespace

std::span<const std::uint8_t, 68> mirrored_landmarks() {
  static constexpr auto table = mirror_table();
  return table;
}

Landmarks flip_landmarks(const Landmarks& landmarks) {
  const auto mirror = mirrored_landmarks();
  Landmarks out{};
  for (int i = 0; i < 68; ++i) out[i] = {1 - landmarks[mirror[i]].x, landmarks[mirror[i]].y};
  return out;
}

const std::vector<std::string>& expression_names() {
  static const std::vector<std::string> names = {"surprise", "fear",  "disgust", "happiness",
                                                 "sadness",  "anger", "neutral"};
  return names;
}

}  // namespace fer
