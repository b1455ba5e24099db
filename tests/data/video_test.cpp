// Videos written and read back, and the messages for unreadable ones.
#include "fer/data/video.h"
#include "data/helpers.h"
#include "data/scene.h"

using namespace fer;
using namespace fer::test;

namespace {

bool have_video() {
  std::string reason;
  if (!video_library_name(&reason).empty()) return true;
  MESSAGE("skipped: ", reason);
  return false;
}

/// A disc that moves to the right, so that frames can be told apart.
Image moving(int frame, int height = 96, int width = 160) {
  Image image(height, width, 3, 60);
  for (int y = 30; y < 60; ++y) {
    for (int x = 0; x < 20; ++x) image.at(y, 5 * frame + x, 0) = 230;
  }
  return image;
}

void write_frames(const fs::path& path, int count) {
  const auto video = create_video(path, 10);
  for (int i = 0; i < count; ++i) video->write(moving(i), i / 10.0);
  video->finish();
}

std::vector<VideoFrame> read_frames(const fs::path& path) {
  const auto video = open_video(path);
  std::vector<VideoFrame> frames;
  for (VideoFrame frame; video->next(frame);) frames.push_back(std::move(frame));
  return frames;
}

}  // namespace

TEST_CASE("frames come back in order, with their times") {
  if (!have_video()) return;
  const TempFolder folder;
  for (const char* name : {"clip.mp4", "clip.mkv", "clip.avi"}) {
    CAPTURE(name);
    write_frames(folder / name, 12);
    CHECK(open_video(folder / name)->frame_rate() == doctest::Approx(10));
    const std::vector<VideoFrame> frames = read_frames(folder / name);
    REQUIRE(frames.size() == 12);
    for (int i = 0; i < 12; ++i) {
      const VideoFrame& frame = frames[static_cast<std::size_t>(i)];
      CHECK(frame.index == i);
      CHECK(frame.seconds == doctest::Approx(i / 10.0).epsilon(0.02));
      CHECK(mean_difference(frame.image, moving(i)) < 4);
    }
  }
}

TEST_CASE("odd extents are written with an even row and column") {
  if (!have_video()) return;
  const TempFolder folder;
  const auto video = create_video(folder / "odd.mp4", 25);
  for (int i = 0; i < 3; ++i) video->write(moving(i, 97, 161), i / 25.0);
  video->finish();
  const std::vector<VideoFrame> frames = read_frames(folder / "odd.mp4");
  REQUIRE(frames.size() == 3);
  CHECK(frames[0].image.height == 98);
  CHECK(frames[0].image.width == 162);
}

TEST_CASE("a phone's video is turned upright") {
  if (!have_video()) return;
  const TempFolder folder;
  write_frames(folder / "clip.mp4", 2);
  std::vector<std::uint8_t> bytes = bytes_of(folder / "clip.mp4");
  const std::string tag = "tkhd";
  const auto at = std::search(bytes.begin(), bytes.end(), tag.begin(), tag.end());
  REQUIRE(at != bytes.end());
  // the matrix of a track header of version 0, 44 bytes after its tag: a quarter turn clockwise
  const std::uint8_t turned[36] = {0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0,    0, 0, 0,
                                   0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,    0,    0x40, 0, 0, 0};
  std::copy(std::begin(turned), std::end(turned), at + 44);
  write_bytes(folder / "turned.mp4", bytes);
  const Image image = read_frames(folder / "turned.mp4").at(0).image;
  REQUIRE(image.height == 160);
  REQUIRE(image.width == 96);
  // what was at the left edge, 30 to 60 from the top, is now at the top, as far from the right
  CHECK(image.at(10, 96 - 45, 0) > 180);
  CHECK(image.at(150, 96 - 45, 0) < 120);
}

TEST_CASE("an incomplete video leaves no file, and a complete one replaces another at once") {
  if (!have_video()) return;
  const TempFolder folder;
  {
    const auto video = create_video(folder / "clip.mp4", 10);
    video->write(moving(0), 0);
  }
  CHECK(fs::is_empty(folder.path()));
  write_frames(folder / "clip.mp4", 3);
  {
    const auto video = create_video(folder / "clip.mp4", 10);
    video->write(moving(0), 0);
  }
  CHECK(read_frames(folder / "clip.mp4").size() == 3);
}

TEST_CASE("the error for a video that cannot be read or written says why") {
  if (!have_video()) return;
  const TempFolder folder;
  const std::string name = (folder / "x.mp4").string();
  CHECK(message_of<IoError>([&] { open_video(name); }) ==
        "cannot open '" + name + "': No such file or directory");
  write_text(name, "no video at all");
  CHECK(message_of<FormatError>([&] { open_video(name); }) ==
        "'" + name + "' is not a video that libav can read: Invalid data found when processing input");
  write_frames(folder / "clip.mp4", 12);
  std::vector<std::uint8_t> bytes = bytes_of(folder / "clip.mp4");
  bytes.resize(bytes.size() / 2);  // without its index, which stands at the end
  write_bytes(name, bytes);
  CHECK(message_of<FormatError>([&] { open_video(name); }) ==
        "'" + name + "' is not a video that libav can read: Invalid data found when processing input");
  CHECK(message_of<IoError>([] { open_camera("/dev/video99"); }) ==
        "cannot open 'camera /dev/video99': No such file or directory");
  CHECK(message_of<IoError>([] { open_camera("98"); }) ==
        "cannot open 'camera 98': No such file or directory");
  CHECK(message_of<ConfigError>([] { create_video("clip.txt", 25); }) ==
        "cannot write 'clip.txt': videos are written as .mp4, .mov, .mkv, .avi or another known extension");
  CHECK(message_of<IoError>([] { create_video("/nowhere/clip.mp4", 25); }) ==
        "cannot write '/nowhere/clip.mp4': No such file or directory");
  const auto video = create_video(folder / "sizes.mp4", 25);
  CHECK(message_of<ShapeError>([&] { video->finish(); }) ==
        "'" + (folder / "sizes.mp4").string() + "': a video needs a frame");
  video->write(moving(0), 0);
  CHECK(message_of<ShapeError>([&] { video->write(moving(0, 98, 160), 0.04); }) ==
        "'" + (folder / "sizes.mp4").string() + "': frame 1 has 160 x 98 pixels, the first had 160 x 96");
}

TEST_CASE("names of videos") {
  CHECK(is_video_name("a/b.MP4"));
  CHECK(is_video_name("b.webm"));
  CHECK_FALSE(is_video_name("b.png"));
  CHECK_FALSE(is_video_name("mp4"));
}
