// fer faces
#include <filesystem>
#include <iostream>

#include "app/commands.h"
#include "fer/data/faces.h"

namespace fer::app {
namespace {

namespace fs = std::filesystem;

struct FacesOptions {
  std::string folder, sheet;
  std::uint64_t seed = 1;
  int identities = 7, per_identity = 7, size = 112;
};

/// One picture with `identities` rows of `per_identity` faces.
Image contact_sheet(const FacesOptions& options) {
  constexpr std::int64_t longest = 65535;  // limit of a JPEG
  const std::int64_t height = std::int64_t{options.identities} * options.size;
  const std::int64_t width = std::int64_t{options.per_identity} * options.size;
  require<ConfigError>(height <= longest && width <= longest && height * width <= std::int64_t{1} << 28,
                       "faces: a sheet of ", width, " x ", height,
                       " pixels is too large; draw fewer faces or a smaller --size");
  Image sheet(options.identities * options.size, options.per_identity * options.size, 3);
  for (int person = 0; person < options.identities; ++person) {
    for (int i = 0; i < options.per_identity; ++i) {
      const Image face = draw_face(sample_face(options.seed, static_cast<std::uint64_t>(person),
                                               static_cast<std::uint64_t>(i)),
                                   options.size)
                             .image;
      for (int y = 0; y < options.size; ++y) {
        std::copy_n(face.row(y), options.size * 3,
                    sheet.row(person * options.size + y) + i * options.size * 3);
      }
    }
  }
  return sheet;
}

/// Writes the layout of the data set `folder`: <expression>/<person>-<number>.png.
void write_faces(const FacesOptions& options) {
  for (int person = 0; person < options.identities; ++person) {
    for (int i = 0; i < options.per_identity; ++i) {
      const FaceParameters parameters =
          sample_face(options.seed, static_cast<std::uint64_t>(person), static_cast<std::uint64_t>(i));
      const fs::path folder =
          fs::path(options.folder) / expression_names()[static_cast<std::size_t>(parameters.expression)];
      std::error_code error;
      fs::create_directories(folder, error);
      require<IoError>(!error, "cannot create '", folder.string(), "': ", error.message());
      write_image(folder / concat(person, "-", i, ".png"), draw_face(parameters, options.size).image);
    }
  }
}

int run(const FacesOptions& options) {
  require<ConfigError>(!options.folder.empty() || !options.sheet.empty(),
                       "faces: give --out FOLDER, --sheet FILE or both");
  if (!options.sheet.empty()) {
    write_image(options.sheet, contact_sheet(options));
    std::cout << "wrote " << options.sheet << "\n";
  }
  if (!options.folder.empty()) {
    write_faces(options);
    std::cout << "wrote " << options.identities * options.per_identity << " faces to " << options.folder
              << "\n";
  }
  return 0;
}

}  // namespace

Command add_faces(CLI::App& program) {
  CLI::App* command =
      program.add_subcommand("faces", "Draw faces: a folder for training, or one sheet to look at");
  auto options = std::make_shared<FacesOptions>();
  command->add_option("--out", options->folder, "folder for <expression>/<person>-<number>.png")
      ->type_name("DIR");
  command->add_option("--sheet", options->sheet, "one picture, one person per row (.png or .jpg)")
      ->type_name("PATH");
  command->add_option("--seed", options->seed, "seed of persons and pictures")
      ->check(whole_number())
      ->capture_default_str();
  command->add_option("--identities", options->identities, "persons")
      ->check(CLI::Range(1, 1000000))
      ->capture_default_str();
  command
      ->add_option("--per-identity", options->per_identity,
                   "pictures of each person; every seven show all expressions")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--size", options->size, "side of a picture in pixels")
      ->check(CLI::Range(16, 2048))
      ->capture_default_str();
  add_examples(*command, {{"fer faces --sheet faces.png --identities 3", "a picture to look at"},
                          {"fer faces --out drawn/train --identities 100 --per-identity 21",
                           "a folder that fer train --dataset folder --data drawn reads"}});
  return [options] { return run(*options); };
}

}  // namespace fer::app
