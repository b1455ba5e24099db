// fer: trains, evaluates and uses the facial-expression network.
#include <exception>
#include <filesystem>
#include <iostream>
#include <new>
#include <string_view>

#include "app/command_line.h"
#include "fer/error.h"
#include "fer/tensor/subnormal.h"

namespace {

/// Whether all that was printed got out; says so where it did not, as on a full disk.
bool fully_printed() {
  std::cout.flush();
  if (std::cout.good()) return true;
  std::cerr << "fer: cannot write the standard output" << std::endl;
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  fer::flush_subnormals();  // a training whose loss has nearly vanished is otherwise several times slower
  fer::app::CommandLine command_line;
  try {
    const int code = command_line.run(argc, argv);
    return fully_printed() ? code : 1;
  } catch (const fer::ConfigError& error) {
    std::cerr << "fer: " << error.what() << std::endl;
    return 2;
  } catch (const std::bad_alloc&) {
    const bool training =
        command_line.app().got_subcommand("train") || command_line.app().got_subcommand("ablate");
    std::cerr << "fer: out of memory"
              << (training ? "; a training needs less with a smaller --batch-size or with --checkpointing"
                           : "")
              << std::endl;
    return 1;
  } catch (const std::filesystem::filesystem_error& error) {
    std::cerr << "fer: cannot read '" << error.path1().string() << "': " << error.code().message()
              << std::endl;
    return 1;
  } catch (const std::exception& error) {
    std::cerr << "fer: " << error.what() << std::endl;
    return 1;
  }
}
