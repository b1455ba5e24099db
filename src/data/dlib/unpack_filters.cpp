// A build step. dlib's header holds its five frontal filters as compressed text, which takes a quarter of a
// second to unpack. This program unpacks them once and writes them as the bytes of a C array.
//
//   unpack_filters OUTPUT
#include <cstdio>
#include <sstream>

#include "data/dlib/dlib_headers.h"
//
#include <dlib/image_processing/frontal_face_detector.h>

int main(int count, char** arguments) {
  if (count != 2) return 2;
  std::ostringstream out;
  dlib::serialize(dlib::get_frontal_face_detector(), out);
  std::FILE* file = std::fopen(arguments[1], "w");
  if (!file) return 1;
  int column = 0;
  for (const char c : out.str())
    std::fprintf(file, "%d,%s", static_cast<unsigned char>(c), ++column % 24 == 0 ? "\n" : "");
  return std::fclose(file) == 0 ? 0 : 1;
}
