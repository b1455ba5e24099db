#include "fer/formats/onnx.h"

#include <bit>
#include <limits>
#include <unordered_set>

#include "fer/error.h"
#include "fer/formats/atomic_file.h"
#include "formats/protobuf.h"

namespace fer {
namespace {

static_assert(std::endian::native == std::endian::little, "raw_data is little-endian");

// Field numbers and enumerations of onnx.proto.
enum ModelField {
  model_ir_version = 1,
  model_producer_name = 2,
  model_producer_version = 3,
  model_doc_string = 6,
  model_graph = 7,
  model_opset_import = 8,
  model_metadata_props = 14,
};
enum GraphField {
  graph_node = 1,
  graph_name = 2,
  graph_initializer = 5,
  graph_input = 11,
  graph_output = 12
};
enum NodeField { node_input = 1, node_output = 2, node_name = 3, node_op_type = 4, node_attribute = 5 };
enum AttributeField {
  attribute_name = 1,
  attribute_f = 2,
  attribute_i = 3,
  attribute_ints = 8,
  attribute_type = 20
};
enum AttributeType { type_float = 1, type_int = 2, type_ints = 7 };
enum TensorField { tensor_dims = 1, tensor_data_type = 2, tensor_name = 8, tensor_raw_data = 9 };
enum TensorType { tensor_float = 1, tensor_uint8 = 2, tensor_int64 = 7 };
enum ValueField { value_name = 1, value_type = 2 };
enum TypeField { type_tensor = 1, type_elements = 1, type_shape = 2 };
enum ShapeField { shape_dim = 1, dim_value = 1, dim_param = 2 };
enum OpsetField { opset_domain = 1, opset_version = 2 };
enum EntryField { entry_key = 1, entry_value = 2 };

ProtoMessage encode(const OnnxAttribute& attribute) {
  ProtoMessage message;
  message.text(attribute_name, attribute.name);
  if (const auto* number = std::get_if<std::int64_t>(&attribute.value)) {
    message.integer(attribute_i, *number);
    message.integer(attribute_type, type_int);
  } else if (const auto* real = std::get_if<float>(&attribute.value)) {
    message.real(attribute_f, *real);
    message.integer(attribute_type, type_float);
  } else {
    for (const std::int64_t value : std::get<std::vector<std::int64_t>>(attribute.value)) {
      message.integer(attribute_ints, value);
    }
    message.integer(attribute_type, type_ints);
  }
  return message;
}

ProtoMessage encode(const OnnxNode& node) {
  ProtoMessage message;
  for (const std::string& name : node.inputs) message.text(node_input, name);
  for (const std::string& name : node.outputs) message.text(node_output, name);
  message.text(node_name, node.name);
  message.text(node_op_type, node.op_type);
  for (const OnnxAttribute& attribute : node.attributes) message.message(node_attribute, encode(attribute));
  return message;
}

/// `value` is on the CPU and must outlive the message.
ProtoMessage encode(const std::string& name, const Tensor& value) {
  ProtoMessage message;
  for (const std::int64_t extent : value.shape()) message.integer(tensor_dims, extent);
  message.integer(tensor_data_type, value.dtype() == DType::int64 ? tensor_int64 : tensor_float);
  message.text(tensor_name, name);
  message.borrowed_bytes(tensor_raw_data, {static_cast<const std::byte*>(value.raw()), value.bytes()});
  return message;
}

ProtoMessage encode(const OnnxValue& value) {
  ProtoMessage shape;
  for (const auto& extent : value.shape) {
    ProtoMessage dimension;
    if (const auto* number = std::get_if<std::int64_t>(&extent)) {
      dimension.integer(dim_value, *number);
    } else {
      dimension.text(dim_param, std::get<std::string>(extent));
    }
    shape.message(shape_dim, std::move(dimension));
  }
  ProtoMessage tensor, type, message;
  tensor.integer(type_elements, value.dtype == DType::uint8 ? tensor_uint8 : tensor_float);
  tensor.message(type_shape, std::move(shape));
  type.message(type_tensor, std::move(tensor));
  message.text(value_name, value.name);
  message.message(value_type, std::move(type));
  return message;
}

/// `constants` are the initializers' values on the CPU.
ProtoMessage encode_graph(const OnnxModel& model, const std::vector<Tensor>& constants) {
  ProtoMessage graph;
  for (const OnnxNode& node : model.nodes) graph.message(graph_node, encode(node));
  graph.text(graph_name, model.graph_name);
  for (std::size_t i = 0; i < constants.size(); ++i) {
    graph.message(graph_initializer, encode(model.initializers[i].name, constants[i]));
  }
  for (const OnnxValue& value : model.inputs) graph.message(graph_input, encode(value));
  for (const OnnxValue& value : model.outputs) graph.message(graph_output, encode(value));
  return graph;
}

ProtoMessage encode(const OnnxModel& model, const std::vector<Tensor>& constants) {
  ProtoMessage message, opset;
  message.integer(model_ir_version, model.ir_version);
  message.text(model_producer_name, "fer");
  if (!model.producer_version.empty()) message.text(model_producer_version, model.producer_version);
  if (!model.description.empty()) message.text(model_doc_string, model.description);
  message.message(model_graph, encode_graph(model, constants));
  opset.text(opset_domain, "");  // the domain of the standard operators
  opset.integer(opset_version, model.opset);
  message.message(model_opset_import, std::move(opset));
  for (const auto& [key, value] : model.metadata) {
    ProtoMessage entry;
    entry.text(entry_key, key);
    entry.text(entry_value, value);
    message.message(model_metadata_props, std::move(entry));
  }
  require<ConfigError>(message.size() <= std::numeric_limits<std::int32_t>::max(), "[onnx] the model has ",
                       message.size(), " bytes; a protobuf message has 2 GiB at most");
  return message;
}

std::vector<Tensor> constants_of(const OnnxModel& model) {
  std::vector<Tensor> constants;
  for (const OnnxTensor& tensor : model.initializers) constants.push_back(tensor.value.to(Device::cpu));
  return constants;
}

}  // namespace

void validate(const OnnxModel& model) {
  std::unordered_set<std::string> known;
  const auto define = [&](const std::string& name) {
    require<ConfigError>(!name.empty() && known.insert(name).second, "[onnx] two values are called '", name,
                         "'");
  };
  const auto check_type = [](const OnnxValue& value) {
    require<TypeError>(value.dtype == DType::float32 || value.dtype == DType::uint8, "[onnx] the value '",
                       value.name, "' must be float32 or uint8, got ", value.dtype);
  };
  for (const OnnxValue& value : model.inputs) {
    define(value.name);
    check_type(value);
  }
  for (const OnnxTensor& tensor : model.initializers) {
    define(tensor.name);
    const DType dtype = tensor.value.dtype();
    require<TypeError>(dtype == DType::float32 || dtype == DType::int64, "[onnx] the constant '", tensor.name,
                       "' must be float32 or int64, got ", dtype);
  }
  for (const OnnxNode& node : model.nodes) {
    for (const std::string& name : node.inputs) {
      require<ConfigError>(known.contains(name), "[onnx] the node '", node.name, "' (", node.op_type,
                           ") reads '", name, "', which nothing before it produces");
    }
    for (const std::string& name : node.outputs) define(name);
  }
  for (const OnnxValue& value : model.outputs) {
    check_type(value);
    require<ConfigError>(known.contains(value.name), "[onnx] no node produces the output '", value.name, "'");
  }
}

std::vector<std::byte> encode_onnx(const OnnxModel& model) {
  validate(model);
  const std::vector<Tensor> constants = constants_of(model);
  const ProtoMessage message = encode(model, constants);
  std::vector<std::byte> bytes;
  bytes.reserve(message.size());
  for (const auto part : message.parts()) bytes.insert(bytes.end(), part.begin(), part.end());
  return bytes;
}

void write_onnx(const std::filesystem::path& path, const OnnxModel& model) {
  validate(model);
  const std::vector<Tensor> constants = constants_of(model);
  const ProtoMessage message = encode(model, constants);
  write_file_atomically(path, message.parts());
}

}  // namespace fer
