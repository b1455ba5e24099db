// Where a tensor lives and where its kernels run.
#pragma once

#include <ostream>
#include <string>
#include <string_view>

namespace fer {

/// cpu: the kernels of src/cpu, with Highway and OpenMP. cuda: the kernels of src/cuda on a GPU. simt: the
/// kernels of src/cuda on the CPU, run thread by thread by the executor of src/simt.
enum class Device { cpu, simt, cuda };

std::string_view name_of(Device device);
/// "cpu", "simt" or "cuda"; anything else is a ConfigError that lists them.
Device parse_device(std::string_view text);
std::ostream& operator<<(std::ostream& out, Device device);

}  // namespace fer
