// Writes the corpora that the fuzz targets start from: FOLDER/TARGET/NAME.
#define DOCTEST_CONFIG_DISABLE
#include <iostream>

#include "fer/data/image.h"
#include "fer/formats/safetensors.h"
#include "fer/training/config.h"
#include "fer/training/evaluate.h"
#include "tests/formats/format_test.h"

namespace {

using namespace fer;
using namespace fer::test;
namespace fs = std::filesystem;

class Seeds {
 public:
  explicit Seeds(fs::path folder) : folder_(std::move(folder)) {}
  fs::path path(const std::string& target, const std::string& name) const {
    fs::create_directories(folder_ / target);
    return folder_ / target / name;
  }
  void add(const std::string& target, const std::string& name, std::string_view bytes) const {
    write_file_atomically(path(target, name), bytes);
  }

 private:
  fs::path folder_;
};

StateDict some_tensors() {
  StateDict state;
  state.insert("weight", Tensor::from<float>({2, 2}, {1.5f, -2, 3, 4}));
  state.insert("bytes", Tensor::from<std::uint8_t>({3}, {1, 2, 255}));
  state.insert("steps", Tensor::from<std::int64_t>({}, {7}));
  state.insert("none", Tensor::empty({0, 4}));
  return state;
}

void safetensors(const Seeds& seeds) {
  write_safetensors(seeds.path("safetensors", "checksums"), some_tensors(),
                    {{"epoch", "3"}, {"layout", "O x I x kh x kw"}});
  const std::string header =
      R"({"__metadata__":{"a":"b"},"v":{"dtype":"BF16","shape":[2],"data_offsets":[8,12]},)"
      R"("w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}})";
  seeds.add("safetensors", "plain",
            little(static_cast<std::uint64_t>(header.size())) + header + std::string(12, '\1'));
}

void checkpoints(const Seeds& seeds) {
  save_state_dict(seeds.path("checkpoint", "written.pth"), some_tensors(), {{"epoch", "3"}});
  const std::string namespace_ =
      py_global("argparse", "Namespace") + ")\x81" + py_dict({{"lr", py_int(3)}}) + "b";
  const std::string call = py_global("posix", "system") + py_tuple({py_text("true")}) + "R";
  const std::string ordered =
      py_global("collections", "OrderedDict") + ")R(" + py_text("a") + py_floats("0", 4) + "u";
  const std::string nested =
      py_dict({{"epoch", py_int(3)},
               {"state_dict",
                py_dict({{"module.a.weight", py_floats("0", 16)},
                         {"module.b", py_tensor(py_storage("HalfStorage", "1", 8), 1, {2, 3}, {1, 2})}})},
               {"args", namespace_}});
  const std::pair<const char*, std::string> values[] = {{"floats", py_dict({{"a", py_floats("0", 4)}})},
                                                        {"ordered", ordered},
                                                        {"nested", nested},
                                                        {"object", namespace_},
                                                        {"call", call}};
  for (const auto& [name, value] : values) {
    seeds.add("checkpoint", std::string(name) + ".pickle", std::string(1, '\0') + pickle(value));
    seeds.add("checkpoint", std::string(name) + ".zip",
              zip_checkpoint(value, {{"0", std::string(64, '\1')}, {"1", std::string(64, '\2')}}));
    seeds.add("checkpoint", std::string(name) + ".legacy",
              legacy_checkpoint(value, {{"0", 16, std::string(64, '\1')}, {"1", 8, std::string(16, '\2')}}));
  }
}

std::string npy(std::string_view type, std::string_view shape, const std::string& data) {
  std::string header = concat("{'descr': '", type, "', 'fortran_order': False, 'shape': ", shape, ", }");
  header.resize((header.size() + 11 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  return "\x93NUMPY" + std::string("\1\0", 2) + little(static_cast<std::uint16_t>(header.size())) + header +
         data;
}

void arrays(const Seeds& seeds) {
  seeds.add("npy", "float", npy("<f4", "(2,)", elements({1.0f, -2.0f})));
  seeds.add("npy", "double", npy("<f8", "()", elements({0.5})));
  seeds.add("npy", "integer", npy("<i8", "(1, 2)", elements<std::int64_t>({3, 4})));
  seeds.add("npy", "text", npy("|S2", "(2,)", "1 -2"));
  seeds.add("npy", "unicode", npy("<U2", "()", std::string("3\0\0\0\0\0\0\0", 8)));
  seeds.add("npy", "landmarks", npy("<f4", "(136,)", std::string(136 * 4, '\0')));
}

void pictures(const Seeds& seeds) {
  Image grey(9, 7, 1), colour(16, 24, 3);
  for (std::size_t i = 0; i < colour.pixels.size(); ++i) colour.pixels[i] = static_cast<std::uint8_t>(i * 7);
  for (std::size_t i = 0; i < grey.pixels.size(); ++i) grey.pixels[i] = static_cast<std::uint8_t>(i * 5);
  for (const auto& [name, image] : {std::pair<std::string, const Image&>{"grey", grey}, {"colour", colour}}) {
    for (const auto& [kind, bytes] :
         {std::pair{".png", encode_png(image)}, {".jpg", encode_jpeg(image, 80)}}) {
      seeds.add("picture", name + kind, {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    }
  }
  seeds.add("picture", "grey.pgm", "P5\n3 2\n255\n" + std::string("\0\1\2\3\4\5", 6));
  seeds.add("picture", "plain.ppm", "P3\n1 2\n255\n1 2 3 4 5 6\n");
  seeds.add("picture", "colour.bmp",
            "BM" + elements<std::uint32_t>({62, 0, 54, 40, 1, 2}) + elements<std::uint16_t>({1, 24}) +
                elements<std::uint32_t>({0, 8, 0, 0, 0, 0}) + std::string(8, '\7'));
  seeds.add("picture", "two.gif",
            std::string("GIF89a\2\0\1\0\x80\0\0\0\0\0\xff\xff\xff", 19) +
                std::string(",\0\0\0\0\2\0\1\0\0\2\2\x44\x0a\0;", 16));
  seeds.add("picture", "grey.tif",
            "II*" + std::string(1, '\0') + elements<std::uint32_t>({8}) + elements<std::uint16_t>({7}) +
                elements<std::uint16_t>({256, 3, 1,   0, 2,   0, 257, 3, 1,   0, 1,   0, 258, 3,
                                         1,   0, 8,   0, 259, 3, 1,   0, 1,   0, 262, 3, 1,   0,
                                         1,   0, 273, 4, 1,   0, 98,  0, 279, 4, 1,   0, 2,   0}) +
                elements<std::uint32_t>({0}) + "\x10\x80");
}

void tables(const Seeds& seeds) {
  std::string pixels = "0";
  for (int i = 1; i < 48 * 48; ++i) pixels += concat(" ", i % 256);
  seeds.add("csv", "fer2013", "emotion,pixels,Usage\n3," + pixels + ",Training\n");
  seeds.add("csv", "icml", "emotion, Usage, pixels\n6, PublicTest, " + pixels + "\n");
  seeds.add("csv", "votes",
            "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF\n"
            "Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0\n");
  seeds.add("csv", "affectnet",
            "subDirectory_filePath,face_x,face_y,face_width,face_height,facial_landmarks,expression,valence,"
            "arousal\n"
            "1/a.jpg,1,2,30,40,\"1;2;3;4\",1,0.5,-0.25\n");
  seeds.add("csv", "semicolons", "sep=;\r\nimage;label\r\n\"a \"\"b\"\".png\";happy\r\n");
  seeds.add("csv", "tabs", "path\tlabel\na.png\t3\n");
  seeds.add("csv", "list", "train_00001.jpg 5\ntest_00001.jpg 4\n");
  seeds.add("csv", "mapping", "0=angry\n1=disgust\n");
  std::string utf16 = "\xff\xfe";
  for (const char c : std::string("image,label\na,1\n")) (utf16 += c) += '\0';
  seeds.add("csv", "utf16", utf16);
}

void json(const Seeds& seeds) {
  RunConfig config;
  config.preset = "tiny";
  config.model = preset("tiny");
  seeds.add("json", "config", to_json(config));
  seeds.add("json", "part",
            R"({"preset":"small","training":{"lr":3e-4,"epochs":2},"model":{"units":[1,1,1]}})");
  EvaluationResult result{ConfusionMatrix({"happy", "sad"}), 0.5, {{0, 1, 0, {0.75f, 0.25f}}}};
  result.confusion.add(1, 0);
  seeds.add("json", "evaluation", evaluation_to_json(result, true));
  seeds.add(
      "json", "metrics",
      R"({"kind":"step","stage":"","step":1,"epoch":1,"loss":1.5,"lr":0.001,"parts":{"cross_entropy":1.5},"images_per_second":9})"
      "\n"
      R"({"kind":"epoch","stage":"","step":1,"epoch":1,"train_loss":1,"lr":0,"seconds":1,"images_per_second":2,"waiting":0,"best":true,"figures":{"accuracy":null}})"
      "\n");
  seeds.add("json", "values",
            R"([null,true,-1,18446744073709551615,1e308,"\u20ac \ud83d\ude00",{"a":{"b":[[]]}}])");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: fuzz_seeds FOLDER\n";
    return 2;
  }
  const Seeds seeds(argv[1]);
  safetensors(seeds);
  checkpoints(seeds);
  arrays(seeds);
  pictures(seeds);
  tables(seeds);
  json(seeds);
  return 0;
}
