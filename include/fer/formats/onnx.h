// Writes ONNX models (github.com/onnx/onnx, onnx.proto) without the onnx library: the few messages that an
// inference network needs, encoded in protobuf's wire format.
//
//   fer::OnnxModel model{.graph_name = "double"};
//   model.inputs = {{"x", {"N", 3}}};
//   model.initializers = {{"two", fer::Tensor::scalar(2)}};
//   model.nodes = {{.op_type = "Mul", .name = "y", .inputs = {"x", "two"}, .outputs = {"y"}}};
//   model.outputs = {{"y", {"N", 3}}};
//   fer::write_onnx("double.onnx", model);
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "fer/formats/state_dict.h"
#include "fer/tensor/tensor.h"

namespace fer {

struct OnnxAttribute {
  std::string name;
  std::variant<std::int64_t, float, std::vector<std::int64_t>> value;
};

/// One operation of the standard operator set.
struct OnnxNode {
  std::string op_type, name;
  std::vector<std::string> inputs, outputs;
  std::vector<OnnxAttribute> attributes = {};
};

/// A constant of the graph: float32 or int64, in ONNX's layout (convolution weights O x I x kh x kw).
struct OnnxTensor {
  std::string name;
  Tensor value;
};

/// An input or output of the graph, float32 or uint8. An extent is a number, or a name if it is free ("N").
struct OnnxValue {
  std::string name;
  std::vector<std::variant<std::int64_t, std::string>> shape;
  DType dtype = DType::float32;
};

struct OnnxModel {
  std::string graph_name, description, producer_version;
  std::vector<OnnxNode> nodes;  ///< in topological order
  std::vector<OnnxTensor> initializers;
  std::vector<OnnxValue> inputs, outputs;
  Metadata metadata;  ///< metadata_props
  std::int64_t ir_version = 8, opset = 17;
};

/// - ConfigError, naming node and value, if a node or a graph output reads a value that nothing before it
///   produces, or if two values have the same name.
/// - TypeError for a constant that is neither float32 nor int64, or an input or output that is neither
///   float32 nor uint8.
void validate(const OnnxModel& model);

/// The bytes of a ModelProto, with fields in ascending order, so equal models have equal bytes. Calls
/// validate(). ConfigError beyond 2 GiB, the limit of a protobuf message.
std::vector<std::byte> encode_onnx(const OnnxModel& model);
/// Writes encode_onnx() to a file; atomic, see atomic_file.h.
void write_onnx(const std::filesystem::path& path, const OnnxModel& model);

}  // namespace fer
