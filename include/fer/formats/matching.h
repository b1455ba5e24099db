// Matches the tensor names of a file with those of a model. Rules rename tensors that other projects call
// differently. A report says what matched, what was left aside and why, and what is missing.
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

/// Explains names that are in the file although the model does not want them.
struct AsideRule {
  std::function<bool(const std::string& renamed)> applies;
  std::string reason;  ///< "the embedding layer of IR50"
  /// A file with such a tensor cannot be used: match() throws instead of leaving the tensor aside.
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
/// Wrappers and training programs add components to names (`module`, `model`, `net`, `_orig_mod`), in front
/// or inside, as in backbone.module.conv. Removes as few of them as make `name` known. None if no removal
/// does.
std::optional<FreedName> free_of_wrappers(const std::string& name, const KnownName& known);

/// The same for all names of a file; records the removed components in `file.taken_off`. If all names begin
/// with such a component, it is removed from all of them when that makes more of them known. If most names
/// would still be unknown, nothing changes. FormatError, naming `what`, if two names become equal.
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
  std::vector<TakenOff> taken_off;      ///< components that were removed from the file's names

  /// Whether the file has every tensor that the model wants, with the right shape.
  bool complete() const { return missing.empty() && wrong_shape.empty(); }
  /// A summary in a few lines: counts, then names grouped by reason.
  std::string text() const;
  /// ShapeError, naming the wrong shapes, or FormatError, naming the missing tensors; `what` is the file. At
  /// most ten are named, and the others counted.
  void require_complete(std::string_view what) const;
};

/// Matches `held`, the file's tensors, with `wanted`, the model's. A name that is unknown as it stands is
/// also tried without wrappers' components (free_of_wrappers). `num_batches_tracked`, a counter of PyTorch's
/// batch norm that no result depends on, is left aside without a rule unless it is wanted. FormatError,
/// naming the file `what`, if two of its names become equal or a fatal aside rule applies.
MatchReport match(std::span<const NamedShape> wanted, std::span<const NamedShape> held,
                  const NameMap& names = {}, std::string_view what = "the file");

/// What a user should know about how a model's weights were read, one line each: notes(file), components that
/// were removed from names, and names that the model does not have.
std::vector<std::string> notes(const StateFile& file, const MatchReport& report);

/// The matched tensors under the model's names, after require_complete(what).
StateDict matched_tensors(const MatchReport& report, const StateDict& file,
                          std::string_view what = "the file");

/// The image backbone, with the names of face.evoLVe's IR50 (`input_layer`, `body.0..20`).
/// - Also accepts POSTER V2's split into body1, body2 and body3 of `units` units.
/// - Also accepts names under `ir_back.` (POSTER), `image_backbone.` (FERNet) or `backbone.`.
/// - Leaves a fourth stage (from body.21) and `output_layer` aside, with a reason.
/// - Refuses IR-SE, which computes something else.
NameMap ir50_names(std::array<int, 3> units = {3, 4, 14});
/// The landmark backbone, with the names of pytorch_face_landmark's MobileFaceNet, also under
/// `face_landback.` (POSTER) or `landmark_backbone.` (FERNet). Layers behind the 14 x 14 map are left aside,
/// with a reason, unless the model wants them.
NameMap mobilefacenet_names();
/// The names of POSTER's public checkpoints. Parameters that no result depends on are left aside, with a reason,
/// unless the model wants them.
NameMap poster_names();
/// FERNet's own names. The landmark head is left aside, with a reason.
NameMap fernet_names();

}  // namespace fer
