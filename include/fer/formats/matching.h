// Matching the names of a file with those of a model: rules that rename what other projects call
// differently, and a report of what matched, what was left aside and why, and what is missing.
//
//   fer::MatchReport report = fer::match(wanted, fer::shapes_of(file), fer::mobilefacenet_names());
//   std::cout << report.text();
//   fer::StateDict weights = fer::matched_tensors(report, file);   // throws unless complete
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "fer/formats/state_dict.h"
#include "fer/tensor/shape.h"

namespace fer {

/// A tensor that a model wants or a file holds; shapes in fer's layout (convolutions O x kh x kw x I).
struct NamedShape {
  std::string name;
  Shape shape;
};

std::vector<NamedShape> shapes_of(const StateDict& tensors);

/// Returns the new name for a name of the file; none if the rule does not apply.
using RenameRule = std::function<std::optional<std::string>(const std::string& name)>;

/// "from..." becomes "to...".
RenameRule rename_prefix(std::string from, std::string to);
/// A name of at most 1000 characters that matches `pattern` (ECMAScript) in full becomes `replacement`, in
/// which $1 is the first group.
RenameRule rename_regex(const std::string& pattern, std::string replacement);
/// "from.<i>..." becomes "to.<i + offset>...": renumber("body2", "body", 3).
RenameRule renumber(const std::string& from, const std::string& to, int offset);

/// Why a name that the model does not want is in the file.
struct AsideRule {
  std::function<bool(const std::string& renamed)> applies;
  std::string reason;  ///< "the embedding layer of IR50"
  /// The file cannot be used without it: match() throws instead of leaving it aside.
  bool fatal = false;
};
/// `pattern` (ECMAScript) must match the renamed name, of at most 1000 characters, in full.
AsideRule leave_aside(const std::string& pattern, std::string reason);
AsideRule refuse(const std::string& pattern, std::string reason);

/// Whether a network has a tensor of this name.
using KnownName = std::function<bool(const std::string& name)>;

struct FreedName {
  std::string name, taken_off;  ///< "conv1.weight", "module."
};
/// `name` without some of the components that wrappers and training programs put into names (`module`,
/// `model`, `net`, `_orig_mod`; before it, or within it as in backbone.module.conv), so that it is known: the
/// fewest that do. None if there is no such name.
std::optional<FreedName> free_of_wrappers(const std::string& name, const KnownName& known);

/// The same for all names of a file; `taken_off` of the file says what was done. What all of them begin with
/// is taken off all of them. The names stay as they are if most would be unknown even so. FormatError, naming
/// `what`, if two names become one.
void free_names(StateFile& file, const KnownName& known, const std::string& what);
/// "'module.' from 12 names".
std::string text_of(const std::vector<TakenOff>& taken_off);

/// How another project names the tensors of one of fer's models. Rules run in order, each on the result of
/// the one before.
struct NameMap {
  std::string title;
  std::vector<RenameRule> renames;
  std::vector<AsideRule> asides;
};

struct MatchReport {
  struct Pair {
    std::string wanted, held;  ///< the model's name and the file's
  };
  struct Aside {
    std::string held, reason;  ///< no reason: no rule matched it
  };
  struct WrongShape {
    std::string wanted, held;
    Shape wanted_shape, held_shape;
  };
  std::string title;                    ///< of the name map
  std::vector<Pair> matched;            ///< in the model's order
  std::vector<Aside> left_aside;        ///< in the file's order
  std::vector<std::string> missing;     ///< wanted, but not in the file
  std::vector<WrongShape> wrong_shape;  ///< there, but of another shape
  std::vector<TakenOff> taken_off;      ///< prefixes without which names of the file are wanted

  /// Whether all that the model wants is there in its shape.
  bool complete() const { return missing.empty() && wrong_shape.empty(); }
  /// Some lines for people: counts, and names in groups.
  std::string text() const;
  /// ShapeError naming wrong shapes, or FormatError naming missing tensors, ten and a count; `what` is the
  /// file.
  void require_complete(std::string_view what) const;
};

/// A name that is not wanted as it is may be so without the prefixes of wrappers (free_of_wrappers).
/// FormatError, naming `what`, the file, if two of its names become one, or if an aside rule is fatal.
/// `num_batches_tracked`, which PyTorch's batch norm counts and no result depends on, is left aside by
/// itself unless it is wanted.
MatchReport match(std::span<const NamedShape> wanted, std::span<const NamedShape> held,
                  const NameMap& names = {}, std::string_view what = "the file");

/// What a person should know of how a model's weights were read, a line each: notes(file), prefixes that were
/// taken off, and names that the model does not have.
std::vector<std::string> notes(const StateFile& file, const MatchReport& report);

/// The matched tensors under the model's names, after require_complete(what).
StateDict matched_tensors(const MatchReport& report, const StateDict& file,
                          std::string_view what = "the file");

/// The image backbone, whose names are those of face.evoLVe's IR50 (`input_layer`, `body.0..20`). Also takes
/// POSTER V2's split into body1, body2 and body3 of `units` units, either under `ir_back.` (POSTER) or
/// `image_backbone.` (FERNet); a fourth stage (from body.21) and `output_layer` are left aside with a word.
/// IR-SE, which computes something else, is refused.
NameMap ir50_names(std::array<int, 3> units = {3, 4, 14});
/// The landmark backbone, whose names are those of pytorch_face_landmark's MobileFaceNet, also under
/// `face_landback.` (POSTER) or `landmark_backbone.` (FERNet). What follows the 14 x 14 map is left aside
/// with a word unless the model wants it.
NameMap mobilefacenet_names();
/// POSTER's, which are those of its authors' checkpoints. What no result depends on is left aside with a word
/// unless the model wants it.
NameMap poster_names();
/// FERNet's own names; the landmark head is left aside with a word.
NameMap fernet_names();

}  // namespace fer
