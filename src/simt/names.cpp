// Looks up symbols and lines through GCC's libbacktrace if the build found it. Otherwise uses the dynamic
// linker, which knows only exported functions.
#include "simt/names.h"

#include <cxxabi.h>
#include <dlfcn.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <sstream>

#include "fer/error.h"

#if FER_SIMT_BACKTRACE
#include <backtrace.h>
#endif

namespace fer::simt::detail {
namespace {

std::string demangled(const char* symbol) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(symbol, nullptr, nullptr, &status),
                                                    std::free);
  return status == 0 && text ? text.get() : symbol;
}

void remove_all(std::string& text, const std::string& part) {
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part))
    text.erase(at, part.size());
}

/// "void fer::simt::(anonymous namespace)::k<float>(float const*, int)" -> "k<float>"
std::string short_name(std::string name) {
  remove_all(name, "(anonymous namespace)::");
  remove_all(name, "fer::simt::");
  if (!name.empty() && name.back() == ')') {  // the parameters, back to their opening parenthesis
    int depth = 0;
    std::size_t at = name.size();
    do {
      --at;
      depth += name[at] == ')' ? 1 : name[at] == '(' ? -1 : 0;
    } while (depth > 0 && at > 0);
    name.erase(at);
  }
  int depth = 0;  // the return type: all before the last space outside of template arguments
  for (std::size_t at = name.size(); at-- > 0;) {
    depth += name[at] == '>' ? 1 : name[at] == '<' ? -1 : 0;
    if (depth == 0 && name[at] == ' ') return name.substr(at + 1);
  }
  return name;
}

struct Place {
  std::string line;  ///< "softmax.cu:42"
  std::string function;
  std::string symbol;
  std::uintptr_t symbol_start = 0;
};

#if FER_SIMT_BACKTRACE
void ignore(void*, const char*, int) {}

std::string base_name(const char* file) {
  const char* slash = std::strrchr(file, '/');
  return slash == nullptr ? file : slash + 1;
}

backtrace_state* state() {
  static backtrace_state* made = backtrace_create_state(nullptr, 1, &ignore, nullptr);
  return made;
}

/// Frames come innermost first. A frame in the executor's own headers says less than the line that called it.
int take_line(void* data, std::uintptr_t, const char* file, int line, const char*) {
  if (file == nullptr) return 0;
  auto& place = *static_cast<Place*>(data);
  const std::string name = base_name(file);
  const bool ours = name == "gpu_common.h" || name == "intrinsics.h" || name == "device.h";
  if (place.line.empty() || !ours) place.line = concat(name, ":", line);
  return ours ? 0 : 1;
}

void take_symbol(void* data, std::uintptr_t, const char* symbol, std::uintptr_t start, std::uintptr_t) {
  auto& place = *static_cast<Place*>(data);
  if (symbol != nullptr) {
    place.symbol = symbol;
    place.symbol_start = start;
  }
}
#endif

Place look_up(std::uintptr_t address) {
  Place place;
#if FER_SIMT_BACKTRACE
  if (state() != nullptr) {
    backtrace_pcinfo(state(), address, &take_line, &ignore, &place);
    backtrace_syminfo(state(), address, &take_symbol, &ignore, &place);
  }
#endif
  Dl_info info{};
  if (place.symbol.empty() && dladdr(reinterpret_cast<void*>(address), &info) != 0 &&
      info.dli_sname != nullptr) {
    place.symbol = info.dli_sname;
    place.symbol_start = reinterpret_cast<std::uintptr_t>(info.dli_saddr);
  }
  return place;
}

}  // namespace

std::string kernel_name(const void* kernel) {
  const Place place = look_up(reinterpret_cast<std::uintptr_t>(kernel));
  return place.symbol.empty() ? "the kernel" : short_name(demangled(place.symbol.c_str()));
}

std::string code_place(const void* address) {
  // A return address may already belong to the next line.
  const std::uintptr_t at = reinterpret_cast<std::uintptr_t>(address) - 1;
  const Place place = look_up(at);
  if (!place.line.empty()) return place.line;
  std::ostringstream out;
  if (!place.symbol.empty()) {
    out << short_name(demangled(place.symbol.c_str())) << "+0x" << std::hex << at - place.symbol_start;
  } else {
    out << "code at 0x" << std::hex << at;
  }
  return out.str();
}

}  // namespace fer::simt::detail
